//! The guard: one pass over a maintained parser's events before anything else reads a file.
//!
//! serde_yaml is archived: alone it takes the last of two equal keys, 20 s for 100,000 nested
//! braces and 415 MB for an alias. Nothing of that kind passes here; what passes has a place.

use std::{cell::Cell, collections::HashMap, ops::Range, path::PathBuf, rc::Rc};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{
    mistakes::{Log, Wrong},
    tree::{Kind, NodeId, Role, Tree, Trust, shown},
};

/// The most bytes that all files together may have.
pub const LARGEST: usize = 16 * 1024 * 1024;
/// The most nodes of all kinds in one file; 100,000 tenants of ten fields are half of it.
const MOST_NODES: usize = 4_000_000;
/// The deepest nesting; a manifest needs six.
const DEEPEST: usize = 32;
/// The most bytes that may go by without an event. The parser buffers while it cannot tell
/// whether a bracket opens a key: 2.8 GB on a 16 MiB list without this.
pub(super) const LONGEST_SILENCE: usize = 256 * 1024;

/// Whether a file could be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every node is in the tree.
    Whole,
    /// Something stopped the pass; what is missing from the tree must not be called missing.
    Broken,
}

/// Reads one file's bytes into a tree; what is wrong goes to the log. `left` is what remains of
/// the allowed size after this file, nothing if it is one too many.
pub(super) fn read(
    file: PathBuf,
    bytes: Vec<u8>,
    left: Option<usize>,
    log: &mut Log,
) -> (Tree, Reach) {
    if left.is_none() {
        let tree = Tree::new(file, String::new());
        log.at_bytes(&tree, 0..0, too_large());
        return (tree, Reach::Broken);
    }
    let text = match text_of(bytes) {
        Ok(text) => text,
        Err((text, at, wrong)) => {
            let tree = Tree::new(file, text);
            log.at_bytes(&tree, at, wrong);
            return (tree, Reach::Broken);
        }
    };
    let mut tree = Tree::new(file, text);
    if !characters(&tree, log) {
        return (tree, Reach::Broken);
    }
    let reach = Pass::new(&mut tree, log).run();
    (tree, reach)
}

/// The refusal of files that are too large together.
fn too_large() -> Wrong {
    Wrong::new("a manifest may have at most 16 MiB in all its files together")
        .label("reading stopped here")
}

/// The text of a file, without its byte-order mark; else what can be shown of it, where it goes
/// wrong, and what is wrong.
fn text_of(mut bytes: Vec<u8>) -> Result<String, (String, Range<usize>, Wrong)> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let wrong = Wrong::new("the file is UTF-16, a manifest is UTF-8")
            .help("save it as UTF-8 (with or without a byte-order mark)");
        return Err((String::new(), 0..0, wrong));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let mut bytes = error.into_bytes();
        let byte = bytes[good];
        bytes.truncate(good);
        let wrong = Wrong::new(format!("the byte 0x{byte:02x} is not UTF-8"))
            .label("after this character")
            .help("save the file as UTF-8");
        // All before the first bad byte was just checked.
        let text = String::from_utf8(bytes).unwrap_or_default();
        let at = text.chars().next_back().map_or(0, char::len_utf8);
        (text, good - at..good, wrong)
    })
}

/// Refuses characters that two YAML readers might take differently, and tabs as indentation.
fn characters(tree: &Tree, log: &mut Log) -> bool {
    let text = tree.source();
    let mut found = 0;
    let mut indenting = true;
    for (at, c) in text.char_indices() {
        let wrong = match c {
            '\n' | '\r' => {
                indenting = true;
                continue;
            }
            ' ' => continue,
            '\t' if indenting => {
                let rest = text[at..].trim_start_matches([' ', '\t']);
                if rest.is_empty() || rest.starts_with(['\n', '\r', '#']) {
                    continue;
                }
                indenting = false;
                Wrong::new("a tab is used as indentation").label("YAML indents with spaces only")
            }
            '\t' => continue,
            '\0' => Wrong::new("the file holds a NUL character"),
            '\u{2028}' | '\u{2029}' | '\u{85}' => Wrong::new(format!(
                "the character U+{:04X} ends a line to some YAML readers and not to others",
                u32::from(c)
            )),
            '\u{feff}' => {
                Wrong::new("a byte-order mark stands within the file, it may only begin it")
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                Wrong::new(format!("the control character U+{:04X} is not allowed", u32::from(c)))
            }
            _ => {
                indenting = false;
                continue;
            }
        };
        log.at_bytes(tree, at..at + c.len_utf8(), wrong);
        found += 1;
        if found == 20 {
            break;
        }
    }
    found == 0
}

/// Characters that run dry when too many bytes go by without an event.
struct Rationed {
    text: Rc<str>,
    at: usize,
    ration: Rc<Ration>,
}

/// How many bytes may still go by without an event.
struct Ration {
    left: Cell<usize>,
    /// Where the characters ran dry. They stay dry, or the parser would read on behind the gap.
    dry: Cell<Option<usize>>,
}

impl Iterator for Rationed {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.ration.dry.get().is_some() {
            return None;
        }
        let c = self.text.get(self.at..)?.chars().next()?;
        match self.ration.left.get().checked_sub(c.len_utf8()) {
            Some(left) => self.ration.left.set(left),
            None => {
                self.ration.dry.set(Some(self.at));
                return None;
            }
        }
        self.at += c.len_utf8();
        Some(c)
    }
}

/// Turns the parser's positions, counted in characters, into bytes. Positions come almost in
/// order, so a walk from the last one is short.
struct Cursor {
    text: Rc<str>,
    chars: usize,
    byte: usize,
}

impl Cursor {
    fn byte_of(&mut self, chars: usize) -> usize {
        while self.chars < chars {
            let Some(c) = self.text[self.byte..].chars().next() else { break };
            self.byte += c.len_utf8();
            self.chars += 1;
        }
        while self.chars > chars {
            let Some(c) = self.text[..self.byte].chars().next_back() else { break };
            self.byte -= c.len_utf8();
            self.chars -= 1;
        }
        self.byte
    }
}

/// A map or list that is being read.
struct Open {
    node: NodeId,
    last: Option<NodeId>,
    next: Role,
}

/// Why the pass ends before the file does.
struct Stop;

struct Pass<'p> {
    tree: &'p mut Tree,
    log: &'p mut Log,
    cursor: Cursor,
    ration: Rc<Ration>,
    /// Where the last event ended.
    heard: usize,
    open: Vec<Open>,
    documents: usize,
}

impl<'p> Pass<'p> {
    fn new(tree: &'p mut Tree, log: &'p mut Log) -> Self {
        let cursor = Cursor { text: tree.shared_source(), chars: 0, byte: 0 };
        let ration = Rc::new(Ration { left: Cell::new(LONGEST_SILENCE), dry: Cell::new(None) });
        Self { tree, log, cursor, ration, heard: 0, open: Vec::new(), documents: 0 }
    }

    fn run(mut self) -> Reach {
        let characters =
            Rationed { text: self.tree.shared_source(), at: 0, ration: Rc::clone(&self.ration) };
        let mut parser = Parser::new_from_iter(characters);
        while let Some(event) = parser.next_event() {
            let step = match event {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    self.broken(&error);
                    Err(Stop)
                }
            };
            if step.is_err() || self.log.is_full() {
                return Reach::Broken;
            }
            self.ration.left.set(LONGEST_SILENCE);
        }
        if self.ration.dry.get().is_some() {
            self.silent();
            return Reach::Broken;
        }
        self.tree.shrink();
        let Some(root) = self.tree.root().filter(|root| !self.tree.is_null(*root)) else {
            let wrong = Wrong::new("the file is empty, or holds nothing but comments")
                .help("`tenantry init --stdout` prints a manifest to start from");
            self.log.at_bytes(self.tree, 0..0, wrong);
            return Reach::Broken;
        };
        if self.tree.kind(root) == Kind::Map {
            return Reach::Whole;
        }
        let wrong = Wrong::new("a manifest is a map of fields, this file is not")
            .label("expected a field such as `version: 1`");
        let span = self.tree.span(root);
        self.log.at_bytes(self.tree, span, wrong);
        Reach::Broken
    }

    /// Says that too much went by without an event, and from where on.
    fn silent(&mut self) {
        let wrong = Wrong::new(format!(
            "{} KiB go by from here without the end of a text, a list or a map",
            LONGEST_SILENCE / 1024
        ))
        .label("reading stopped")
        .help("is a quote or a bracket missing its other half? (comments count, too)");
        self.log.at_bytes(self.tree, self.heard..self.heard, wrong);
    }

    /// Says what the parser could not take.
    fn broken(&mut self, error: &ScanError) {
        if self.ration.dry.get().is_some() {
            return self.silent();
        }
        let at = self.cursor.byte_of(error.marker().index()).min(self.tree.source().len());
        let (line, _) = self.tree.line_and_column(at);
        let text = &self.tree.source()[self.tree.line(line)];
        let mut wrong = Wrong::new(format!("this is not YAML: {}", error.info()));
        if text.contains(": {") || text.contains(": [") || text.contains("- {") {
            wrong = wrong.help(
                "a text that holds `{` or `[` must stand in quotes: \"{name} SIEM MSSP Connector\"",
            );
        } else if text.contains(": ") && text.matches(": ").count() > 1 {
            wrong = wrong.help("a text that holds `: ` must stand in quotes");
        }
        self.log.at_bytes(self.tree, at..at, wrong);
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let start = self.cursor.byte_of(span.start.index());
        let span = start..self.cursor.byte_of(span.end.index()).max(start);
        if self.ration.dry.get().is_none() {
            self.heard = span.end;
        }
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 1 {
                    return Ok(());
                }
                let wrong = Wrong::new("a second YAML document begins here")
                    .label("a file holds one")
                    .help("give each document a file of its own: -f a.yaml -f b.yaml");
                self.log.at_bytes(self.tree, span, wrong);
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = match style {
                    ScalarStyle::Plain => Kind::Plain,
                    ScalarStyle::SingleQuoted
                    | ScalarStyle::DoubleQuoted
                    | ScalarStyle::Literal
                    | ScalarStyle::Folded => Kind::Quoted,
                };
                let id = self.push(span, kind)?;
                self.tree.set_text(id, &text);
                self.properties(id, anchor, tag.is_some());
                if self.tree.role(id) == Role::Key && kind == Kind::Plain && text == "<<" {
                    let wrong = Wrong::new("merge keys (`<<`) are not read")
                        .label("write the fields out, or put them under `defaults`");
                    self.log.at(self.tree, id, wrong);
                    self.tree.skip_key(id);
                }
                Ok(())
            }
            Event::Alias(_) => {
                let id = self.push(span.clone(), Kind::Alias)?;
                let name = shown(&self.tree.source()[span]);
                let wrong = Wrong::new(format!("aliases such as `{name}` are not read"))
                    .label("write the value out, or put it under `defaults`");
                self.log.at(self.tree, id, wrong);
                self.tree.distrust(id);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, Kind::List, Role::Item, anchor, tag.is_some())
            }
            Event::MappingStart(anchor, tag) => {
                self.open(span, Kind::Map, Role::Key, anchor, tag.is_some())
            }
            Event::SequenceEnd => {
                self.close(span.end);
                Ok(())
            }
            Event::MappingEnd => {
                if let Some(map) = self.close(span.end) {
                    self.duplicates(map);
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(
        &mut self,
        span: Range<usize>,
        kind: Kind,
        next: Role,
        anchor: usize,
        tagged: bool,
    ) -> Result<(), Stop> {
        let node = self.push(span.clone(), kind)?;
        if self.tree.role(node) == Role::Key {
            let wrong = Wrong::new("a key must be a text, this one is a map or a list")
                .help("a text that begins with `{` or `[` must stand in quotes");
            self.log.at_bytes(self.tree, span, wrong);
            return Err(Stop);
        }
        if self.open.len() == DEEPEST {
            let wrong = Wrong::new(format!("maps and lists are nested more than {DEEPEST} deep"))
                .label("reading stopped here");
            self.log.at_bytes(self.tree, span, wrong);
            return Err(Stop);
        }
        self.properties(node, anchor, tagged);
        self.open.push(Open { node, last: None, next });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Option<NodeId> {
        let open = self.open.pop()?;
        self.tree.set_end(open.node, end);
        Some(open.node)
    }

    fn push(&mut self, span: Range<usize>, kind: Kind) -> Result<NodeId, Stop> {
        if self.tree.len() == MOST_NODES {
            let wrong = Wrong::new(format!("the file holds more than {MOST_NODES} values"))
                .label("reading stopped here");
            self.log.at_bytes(self.tree, span, wrong);
            return Err(Stop);
        }
        let Some(open) = self.open.last_mut() else {
            return Ok(self.tree.push(span, kind, Role::Root, None, None));
        };
        let role = open.next;
        let id = self.tree.push(span, kind, role, Some(open.node), open.last);
        open.last = Some(id);
        open.next = match role {
            Role::Key => Role::Value,
            Role::Value => Role::Key,
            Role::Item | Role::Root => Role::Item,
        };
        Ok(id)
    }

    /// Refuses anchors and tags.
    fn properties(&mut self, id: NodeId, anchor: usize, tagged: bool) {
        let what = match (anchor != 0, tagged) {
            (false, false) => return,
            (true, _) => "anchors (`&name`) are not read",
            (false, true) => "tags (`!type`) are not read",
        };
        let label = "write the value by itself";
        self.log.at(self.tree, id, Wrong::new(what).label(label));
        self.tree.distrust(id);
    }

    /// Reports every key that a map has before: the first one counts.
    fn duplicates(&mut self, map: NodeId) {
        let mut first: HashMap<&str, NodeId> = HashMap::new();
        let mut again = Vec::new();
        for (key, _) in self.tree.entries(map) {
            if self.tree.trust(key) == Trust::Sound {
                let earlier = *first.entry(self.tree.text(key)).or_insert(key);
                if earlier != key {
                    again.push((key, earlier));
                }
            }
        }
        for (key, earlier) in again {
            let text = shown(self.tree.text(key));
            let (line, _) = self.tree.line_and_column(self.tree.span(earlier).start);
            let wrong = Wrong::new(format!("the key `{text}` stands here a second time"))
                .label(format!("first in line {line}"));
            self.log.at(self.tree, key, wrong);
            self.tree.skip_key(key);
            if self.log.is_full() {
                break;
            }
        }
    }
}
