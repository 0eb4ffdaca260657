//! Text from outside, made fit to be shown: one rule for every screen, report and document.

/// Whether a character is not seen, and steers what shows the others: control characters, those that
/// turn the writing direction (<https://www.unicode.org/reports/tr9/>), those that take no room.
/// Joiners and variation selectors are not among them: Persian, many scripts of India and names in
/// Japan cannot be written without.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
        )
}

/// The same text with a mark in the place of each character that steers.
pub fn marked(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same in one line of at most so many characters: white space becomes one space, what steers is
/// left out.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut word = word.chars().filter(|c| !steers(*c)).peekable();
        if word.peek().is_some() && !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    if line.chars().count() > most {
        line = line.chars().take(most).chain(['…']).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{202e}b\u{200b}c\r\nd\u{feff}\u{2066}\u{e0041}";

    #[test]
    fn nothing_that_steers_is_left_and_the_rest_is() {
        assert_eq!(one_line(HOSTILE, 99), "a [2Jbc d");
        assert_eq!(one_line(" \u{200b} x  \u{202e} y", 99), "x y");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert!(!marked(HOSTILE).chars().any(steers));
        assert_eq!(marked(HOSTILE).chars().count(), HOSTILE.chars().count());
        for plain in ["Zoë & Søn A/S", "株式会社", "می\u{200c}خواهم", "👩\u{200d}💻"]
        {
            assert_eq!((marked(plain), one_line(plain, 99)), (plain.to_owned(), plain.to_owned()));
        }
    }
}
