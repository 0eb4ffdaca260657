//! What is wrong with a manifest, all of it at once, and how a person and a program are told.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    path::{Path, PathBuf},
};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

use super::{
    Place,
    tree::{NodeId, Tree, harmless},
};

/// The most mistakes that are reported, and the most notices: reading stops there, so that a
/// hostile file of mistakes costs no more than a good one.
const MOST_KEPT: usize = 1000;
/// The most characters of a line that an excerpt shows.
const WIDEST: usize = 100;

/// One thing that is wrong, before it has a place.
#[derive(Debug)]
pub(super) struct Wrong {
    what: String,
    label: String,
    help: Option<String>,
    naming: Naming,
}

/// Whether a mistake's sentence needs the path of its place before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// `tenants.contoso.id: …`
    Path,
    /// The sentence names the place itself, or there is nothing to name.
    Sentence,
}

impl Wrong {
    /// What is wrong, as a sentence that can follow a path: `a domain has no spaces`.
    pub(super) fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, label: String::new(), help: None, naming: Naming::Sentence }
    }

    /// Has the path of the place shown before the sentence.
    pub(super) fn with_path(mut self) -> Self {
        self.naming = Naming::Path;
        self
    }

    /// What to say right under the place.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// All of it in one line, for what does not stand in a file.
    pub(super) fn into_line(self) -> String {
        if self.label.is_empty() { self.what } else { format!("{}: {}", self.what, self.label) }
    }

    /// What to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The line of a file that a mistake points at, fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or a part of a long one, with nothing in it that steers a terminal.
    pub text: String,
    /// The bytes of `text` to point at.
    pub span: Range<usize>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What to say right under the place; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line it points at; absent where there is no text to show.
    pub excerpt: Option<Excerpt>,
    naming: Naming,
}

impl Mistake {
    /// What is wrong with what, for people: `tenants.contoso.id: …`.
    pub fn sentence(&self) -> String {
        match self.naming {
            Naming::Path if !self.place.path.is_empty() => {
                format!("{}: {}", self.place.path, self.what)
            }
            Naming::Path | Naming::Sentence => self.what.clone(),
        }
    }
}

/// Something that is allowed and still worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where it stands.
    pub place: Place,
    /// What to know, in one sentence.
    pub what: String,
}

/// Whether all mistakes found so far are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fill {
    /// They are.
    #[default]
    Room,
    /// There was one more than can be kept.
    Full,
}

/// Collects mistakes and notices while a manifest is read.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: Vec<Mistake>,
    fill: Fill,
    /// What was said of which place, so that a value inherited 400 times is reported once.
    said: HashSet<u64>,
    notices: Vec<Notice>,
}

impl Log {
    /// Reports something about a node.
    pub(super) fn at(&mut self, tree: &Tree, node: NodeId, wrong: Wrong) {
        if self.is_new(tree, tree.pointed(node), &wrong.what) {
            let place = tree.place(node);
            self.keep(tree, tree.pointed(node), place, wrong);
        }
    }

    /// Reports something about bytes that belong to no node.
    pub(super) fn at_bytes(&mut self, tree: &Tree, span: Range<usize>, wrong: Wrong) {
        self.missing(tree, span, "", wrong);
    }

    /// Reports a field that is not there, at bytes near which it should be.
    pub(super) fn missing(&mut self, tree: &Tree, span: Range<usize>, path: &str, wrong: Wrong) {
        if self.is_new(tree, span.clone(), &wrong.what) {
            let (line, column) = tree.line_and_column(span.start);
            let place = Place { file: tree.file.clone(), line, column, path: path.to_owned() };
            self.keep(tree, span, place, wrong);
        }
    }

    /// Says something about a node that is no mistake.
    pub(super) fn notice(&mut self, tree: &Tree, node: NodeId, what: String) {
        let mut hasher = DefaultHasher::new();
        (&tree.file, tree.pointed(node), &what).hash(&mut hasher);
        if self.notices.len() < MOST_KEPT && self.said.insert(hasher.finish()) {
            self.notices.push(Notice { place: tree.place(node), what });
        }
    }

    /// Says something about a place that is no mistake.
    pub(super) fn notice_at(&mut self, place: Place, what: String) {
        if self.notices.len() < MOST_KEPT {
            self.notices.push(Notice { place, what });
        }
    }

    fn is_new(&mut self, tree: &Tree, span: Range<usize>, what: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (&tree.file, span, what).hash(&mut hasher);
        if !self.said.insert(hasher.finish()) {
            return false;
        }
        if self.kept.len() == MOST_KEPT {
            self.fill = Fill::Full;
        }
        self.kept.len() < MOST_KEPT
    }

    fn keep(&mut self, tree: &Tree, span: Range<usize>, place: Place, wrong: Wrong) {
        let Wrong { what, label, help, naming } = wrong;
        let excerpt = excerpt(tree, place.line, span);
        self.kept.push(Mistake { place, what, label, help, excerpt, naming });
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether there are so many mistakes that looking for more is no use.
    pub(super) fn is_full(&self) -> bool {
        self.fill == Fill::Full
    }

    /// The notices, or the mistakes if there are any, in the order of the files and their lines.
    pub(super) fn finish(self, files: Vec<PathBuf>) -> Result<Vec<Notice>, Mistakes> {
        let Self { mut kept, fill, said: _, mut notices } = self;
        let order = |place: &Place| {
            let file = files.iter().position(|file| *file == place.file);
            (file, place.line, place.column)
        };
        if kept.is_empty() {
            notices.sort_by_key(|notice| order(&notice.place));
            return Ok(notices);
        }
        kept.sort_by_key(|mistake| order(&mistake.place));
        Err(Mistakes { list: kept, fill, files })
    }
}

/// The part of a line around a span, with harmless characters only.
fn excerpt(tree: &Tree, line: usize, span: Range<usize>) -> Option<Excerpt> {
    let bounds = tree.line(line);
    let line = tree.source().get(bounds.clone())?;
    if line.is_empty() {
        return None;
    }
    let from = span.start.clamp(bounds.start, bounds.end) - bounds.start;
    let to = span.end.clamp(bounds.start + from, bounds.end) - bounds.start;
    let before = line.get(..from)?.chars().count();
    let long = line.chars().nth(WIDEST).is_some();
    let skip = if long { before.saturating_sub(WIDEST / 2) } else { 0 };
    let mut text = String::new();
    let mut pointed = None;
    if skip > 0 {
        text.push('…');
    }
    // Bounded first: a hostile line can have 16 MiB.
    let start = line.char_indices().nth(skip).map_or(line.len(), |(at, _)| at);
    for (at, c) in line[start..].char_indices().take(WIDEST).map(|(at, c)| (start + at, c)) {
        if at >= from && pointed.is_none() {
            pointed = Some(text.len());
        }
        if at >= to && to > from {
            // The end of the span is where the text stands now; what follows is only context.
            let begin = pointed.unwrap_or(text.len());
            let end = text.len();
            text.extend(line[at..].chars().take(WIDEST / 2).map(tidy));
            return Some(Excerpt { text, span: begin..end });
        }
        text.push(tidy(c));
    }
    if line[start..].chars().nth(WIDEST).is_some() {
        text.push('…');
    }
    let begin = pointed.unwrap_or(text.len());
    let end = if to > from { text.len() } else { begin };
    Some(Excerpt { text, span: begin..end })
}

fn tidy(c: char) -> char {
    if c == '\t' { ' ' } else { harmless(c) }
}

/// Everything that is wrong with a manifest; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    list: Vec<Mistake>,
    fill: Fill,
    files: Vec<PathBuf>,
}

impl Mistakes {
    /// The refusal of a manifest that cannot be resolved although nothing was found wrong with it.
    pub(super) fn unexplained() -> Self {
        let place = Place { file: PathBuf::from("-"), line: 1, column: 1, path: String::new() };
        let what = "the manifest cannot be resolved, and tenantry cannot say why".to_owned();
        let help = Some("this is a mistake of tenantry's, please report it".to_owned());
        let naming = Naming::Sentence;
        let mistake = Mistake { place, what, label: String::new(), help, excerpt: None, naming };
        Self { list: vec![mistake], fill: Fill::Room, files: Vec::new() }
    }

    /// The mistakes in the order of the files; at most 1,000 of them, then reading stops.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// Whether reading stopped because there were so many.
    pub fn there_are_more(&self) -> bool {
        self.fill == Fill::Full
    }

    /// `2 mistakes in customers.yaml, nothing was contacted`
    pub fn headline(&self) -> String {
        let count = match (self.list.len(), self.fill) {
            (1, Fill::Room) => "1 mistake".to_owned(),
            (many, Fill::Room) => format!("{many} mistakes"),
            (many, Fill::Full) => format!("more than {many} mistakes"),
        };
        let place = match self.files.as_slice() {
            [one] => name_of(one),
            many => format!("{} files", many.len()),
        };
        format!("{count} in {place}, nothing was contacted")
    }

    /// All of it for a terminal of `width` columns.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme =
            if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width.clamp(40, 120))
            .with_context_lines(0)
            .with_links(false);
        let mut out = format!("error: {}\n\n", self.headline());
        for mistake in &self.list {
            // Writing to a String cannot fail; what miette itself refuses is said in one line.
            if handler.render_report(&mut out, &Shown(mistake)).is_err() {
                let Place { file, line, column, path: _ } = &mistake.place;
                out.push_str(&format!(
                    "{}:{line}:{column}: {}\n",
                    name_of(file),
                    mistake.sentence()
                ));
            }
        }
        if self.there_are_more() {
            out.push_str("  … and more: reading stopped here\n");
        }
        out
    }

    /// `{formatVersion, valid, mistakes: [{file, line, column, path, what, label, hint}], more}`
    pub fn to_json(&self) -> serde_json::Value {
        let mistakes: Vec<_> = self
            .list
            .iter()
            .map(|Mistake { place, what, label, help, excerpt: _, naming: _ }| {
                serde_json::json!({
                    "file": place.file.to_string_lossy(),
                    "line": place.line,
                    "column": place.column,
                    "path": place.path,
                    "what": what,
                    "label": label,
                    "hint": help,
                })
            })
            .collect();
        serde_json::json!({
            "formatVersion": 1,
            "valid": false,
            "mistakes": mistakes,
            "more": self.there_are_more(),
        })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())
    }
}

impl std::error::Error for Mistakes {}

/// The file as a message names it.
fn name_of(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.to_string_lossy().chars().map(harmless).collect()
    }
}

/// A mistake as miette draws it.
struct Shown<'m>(&'m Mistake);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.sentence())?;
        let Mistake { place, excerpt, .. } = self.0;
        match excerpt {
            Some(_) => Ok(()),
            // Where nothing can be drawn, its place is still said.
            None => write!(f, " ({}:{}:{})", name_of(&place.file), place.line, place.column),
        }
    }
}
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.excerpt.is_some().then_some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.0.excerpt.as_ref()?;
        let label = (!self.0.label.is_empty()).then(|| self.0.label.clone());
        let span = LabeledSpan::new(label, excerpt.span.start, excerpt.span.len());
        Some(Box::new(std::iter::once(span)))
    }
}

impl SourceCode for Shown<'_> {
    /// The one line of the excerpt, with the line and column of the whole file: handing miette the
    /// file itself would make it count lines from the top for every mistake.
    fn read_span<'a>(
        &'a self,
        _span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let Mistake { place, excerpt, .. } = self.0;
        let excerpt = excerpt.as_ref().ok_or(MietteError::OutOfBounds)?;
        Ok(Box::new(MietteSpanContents::new_named(
            name_of(&place.file),
            excerpt.text.as_bytes(),
            SourceSpan::new(0.into(), excerpt.text.len()),
            place.line - 1,
            place.column - 1,
            1,
        )))
    }
}
