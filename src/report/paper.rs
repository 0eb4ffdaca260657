//! What text is written on: lines of words with an ink each, wrapped to a width.
//!
//! Every word that came from outside passes through here, so this is where control characters
//! end: no tenant name can move the cursor or ring a bell.

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter, core::display_width};

/// How a word is painted. Colour only repeats what the word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// As it comes.
    Plain,
    /// A heading.
    Bold,
    /// Good.
    Good,
    /// Somebody's turn, or a change.
    Wait,
    /// Bad.
    Bad,
    /// Less important.
    Dim,
}

impl Ink {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Bold => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Wait => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
        }
    }
}

/// A word or a cell.
#[derive(Debug, Clone)]
pub struct Word {
    ink: Ink,
    text: String,
}

impl Word {
    /// How it is painted.
    pub fn ink(&self) -> Ink {
        self.ink
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A word in an ink.
pub fn word(ink: Ink, text: impl AsRef<str>) -> Word {
    Word { ink, text: clean(text.as_ref()) }
}

impl Word {
    /// How many columns it takes.
    pub fn width(&self) -> usize {
        display_width(&self.text)
    }
}

/// Text without characters that steer whatever shows it.
pub fn clean(text: &str) -> String {
    crate::text::marked(text)
}

/// A text of at most `most` columns, its end cut off where it is longer.
pub fn shortened(text: &str, most: usize) -> String {
    let text = clean(text);
    if display_width(&text) <= most {
        return text;
    }
    let mut short = String::new();
    for c in text.chars() {
        if display_width(&short) + display_width(c.encode_utf8(&mut [0; 4])) >= most {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// A page of text.
#[derive(Debug)]
pub struct Paper {
    width: usize,
    /// The flags that lead the commands on it to their fleet.
    place: String,
    text: String,
}

impl Paper {
    /// A page of a width; 40 columns at least.
    pub fn new(width: usize) -> Self {
        Self { width: width.max(40), place: String::new(), text: String::new() }
    }

    /// The same where commands in advice shall reach the fleet that these flags lead to: whoever
    /// reads them pastes them.
    #[must_use]
    pub fn at(mut self, place: String) -> Self {
        self.place = place;
        self
    }

    /// Advice, wrapped as other text is.
    pub fn advise(&mut self, indent: usize, mark: Option<Word>, text: &str) {
        let text = super::advice::placed(text, &self.place);
        self.say(indent, mark, &text);
    }

    /// The width.
    pub fn width(&self) -> usize {
        self.width
    }

    /// An empty line, unless the page is empty or ends with one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn put(&mut self, word: &Word) {
        let style = word.ink.style();
        self.text.push_str(&format!("{}{}{}", style.render(), word.text, style.render_reset()));
    }

    /// A line of words, as they are, with a space between.
    pub fn line(&mut self, indent: usize, words: &[Word]) {
        self.text.push_str(&" ".repeat(indent));
        for (n, word) in words.iter().filter(|word| !word.text.is_empty()).enumerate() {
            if n > 0 {
                self.text.push(' ');
            }
            self.put(word);
        }
        self.text.push('\n');
    }

    /// Words side by side, each whole: one that does not fit begins a line of its own under `hang`.
    pub fn flow(&mut self, indent: usize, hang: usize, words: &[Word]) {
        self.text.push_str(&" ".repeat(indent));
        let (mut used, mut first) = (indent, true);
        for word in words.iter().filter(|word| !word.text.is_empty()) {
            let needed = word.width() + usize::from(!first);
            if !first && used + needed > self.width {
                self.text.push_str(&format!("\n{}", " ".repeat(hang)));
                (used, first) = (hang, true);
            }
            if !first {
                self.text.push(' ');
                used += 1;
            }
            self.put(word);
            used += word.width();
            first = false;
        }
        self.text.push('\n');
    }

    /// A paragraph behind an optional mark, wrapped; its later lines hang under the first word.
    pub fn say(&mut self, indent: usize, mark: Option<Word>, text: &str) {
        let hang = indent + mark.as_ref().map_or(0, |mark| display_width(&mark.text) + 1);
        let options = Options::new(self.width.saturating_sub(hang).max(20))
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation);
        let text = clean(text);
        for (n, line) in textwrap::wrap(&text, options).into_iter().enumerate() {
            match (&mark, n) {
                (Some(mark), 0) => {
                    self.text.push_str(&" ".repeat(indent));
                    self.put(&mark.clone());
                    self.text.push(' ');
                }
                _ => self.text.push_str(&" ".repeat(hang)),
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// Rows in columns; every column but the last is as wide as its widest cell.
    pub fn table(&mut self, indent: usize, rows: &[Vec<Word>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|n| {
                rows.iter()
                    .filter_map(|row| row.get(n))
                    .map(|cell| display_width(&cell.text))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in rows {
            self.text.push_str(&" ".repeat(indent));
            for (n, cell) in row.iter().enumerate() {
                self.put(cell);
                if n + 1 < row.len() {
                    let missing = widths[n] - display_width(&cell.text);
                    self.text.push_str(&" ".repeat(missing + 2));
                }
            }
            self.text.push('\n');
        }
    }

    /// The text, with escape sequences for colour; whoever prints it strips them where they are
    /// not wanted.
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(paper: Paper) -> String {
        anstream::adapter::strip_str(&paper.into_text()).to_string()
    }

    #[test]
    fn a_name_from_outside_cannot_drive_the_terminal() {
        let mut paper = Paper::new(80);
        paper.line(0, &[word(Ink::Plain, "a\u{1b}[2Jb\u{202e}c\nd")]);
        assert_eq!(plain(paper), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\n");
    }

    #[test]
    fn paragraphs_hang_and_links_stay_whole() {
        let mut paper = Paper::new(40);
        let link = "https://login.microsoftonline.com/6f1c0f5e/adminconsent?client_id=0b6d";
        paper.say(2, Some(word(Ink::Wait, "!")), &format!("open {link} and accept it, please"));
        assert_eq!(plain(paper), format!("  ! open\n    {link}\n    and accept it, please\n"));
    }

    #[test]
    fn a_word_that_does_not_fit_begins_a_line_and_is_never_cut() {
        let mut paper = Paper::new(40);
        let link = "https://security.microsoft.com?tid=1";
        let words = [word(Ink::Plain, "wingtip"), word(Ink::Plain, link), word(Ink::Dim, "since")];
        paper.flow(2, 10, &words);
        assert_eq!(plain(paper), format!("  wingtip\n          {link}\n          since\n"));
        let mut paper = Paper::new(80);
        paper.flow(2, 10, &words);
        assert_eq!(plain(paper), format!("  wingtip {link} since\n"));
    }

    #[test]
    fn columns_align_by_what_is_seen() {
        let mut paper = Paper::new(80);
        paper.table(
            0,
            &[
                vec![word(Ink::Bold, "A"), word(Ink::Bold, "B")],
                vec![word(Ink::Bad, "日本"), word(Ink::Plain, "x")],
            ],
        );
        assert_eq!(plain(paper), "A     B\n日本  x\n");
    }
}
