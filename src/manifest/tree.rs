//! The nodes of one file and where each stands: what the guard found, kept small enough for
//! 100,000 tenants (24 bytes a node; lines, columns and paths are worked out only for a mistake).

use std::{ops::Range, path::PathBuf, rc::Rc};

use super::Place;

/// A node of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// No node: the parent of the root, the end of a list.
const NONE: u32 = u32::MAX;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A scalar without quotes: YAML may read it as a number, a truth value or nothing.
    Plain,
    /// A scalar in quotes or a block scalar: always a text.
    Quoted,
    /// A map.
    Map,
    /// A list.
    List,
    /// An alias, already reported.
    Alias,
}

/// Whether a node may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing speaks against it.
    Sound,
    /// It was reported (a second key, an alias), or something beneath it was: it must not be read.
    Reported,
}

/// What a node is to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The document itself.
    Root,
    /// A key of a map.
    Key,
    /// The value of the key just before it.
    Value,
    /// An item of a list.
    Item,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    parent: u32,
    /// The next node with the same parent; in a map, keys and values take turns.
    next: u32,
    /// Maps and lists: the first child. Scalars whose text is not what stands in the file
    /// (escapes, folded lines, quotes): an index into `texts`.
    first: u32,
    kind: Kind,
    role: Role,
    trust: Trust,
}

/// One file as a tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// The file as the user named it.
    pub(super) file: PathBuf,
    /// Its text without a byte-order mark.
    text: Rc<str>,
    /// Where each line begins.
    lines: Vec<u32>,
    nodes: Vec<Node>,
    texts: Vec<Box<str>>,
}

impl Tree {
    /// An empty tree over a file's text (at most 4 GiB; the guard allows 16 MiB).
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        let bytes = text.as_bytes();
        let mut lines = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            // A lone carriage return ends a line in YAML, too.
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                lines.push(i as u32 + 1);
            }
        }
        Self { file, text: text.into(), lines, nodes: Vec::new(), texts: Vec::new() }
    }

    /// The whole text.
    pub(super) fn source(&self) -> &str {
        &self.text
    }

    /// The whole text, for a reader that must hold it while nodes are added.
    pub(super) fn shared_source(&self) -> Rc<str> {
        Rc::clone(&self.text)
    }

    /// Adds a node as the last child of `parent`, whose last child so far is `elder`.
    pub(super) fn push(
        &mut self,
        span: Range<usize>,
        kind: Kind,
        role: Role,
        parent: Option<NodeId>,
        elder: Option<NodeId>,
    ) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node {
            start: span.start as u32,
            end: span.end as u32,
            parent: parent.map_or(NONE, |p| p.0),
            next: NONE,
            first: NONE,
            kind,
            role,
            trust: Trust::Sound,
        });
        match (elder, parent) {
            (Some(elder), _) => self.nodes[elder.0 as usize].next = id.0,
            (None, Some(parent)) => self.nodes[parent.0 as usize].first = id.0,
            (None, None) => {}
        }
        id
    }

    /// Keeps a scalar's text where it differs from what stands in the file.
    pub(super) fn set_text(&mut self, id: NodeId, text: &str) {
        let node = self.nodes[id.0 as usize];
        if self.text.get(node.start as usize..node.end as usize) != Some(text) {
            self.nodes[id.0 as usize].first = self.texts.len() as u32;
            self.texts.push(text.into());
        }
    }

    /// Gives back what was allocated ahead.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.lines.shrink_to_fit();
    }

    /// Says where a map or list ends.
    pub(super) fn set_end(&mut self, id: NodeId, end: usize) {
        let node = &mut self.nodes[id.0 as usize];
        node.end = node.start.max(end as u32);
    }

    /// Marks a node, and all that contain it up to the root, as not to be read.
    pub(super) fn distrust(&mut self, id: NodeId) {
        let mut at = id.0;
        while at != NONE {
            let node = &mut self.nodes[at as usize];
            if node.trust == Trust::Reported {
                break;
            }
            node.trust = Trust::Reported;
            at = node.parent;
        }
    }

    /// Marks one key as not to be read; its map may be.
    pub(super) fn skip_key(&mut self, key: NodeId) {
        self.nodes[key.0 as usize].trust = Trust::Reported;
    }

    /// Whether a node may be read.
    pub(super) fn trust(&self, id: NodeId) -> Trust {
        self.nodes[id.0 as usize].trust
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The first node of the document.
    pub(super) fn root(&self) -> Option<NodeId> {
        (!self.nodes.is_empty()).then_some(NodeId(0))
    }

    /// What a node is.
    pub(super) fn kind(&self, id: NodeId) -> Kind {
        self.nodes[id.0 as usize].kind
    }

    /// What a node is to its parent.
    pub(super) fn role(&self, id: NodeId) -> Role {
        self.nodes[id.0 as usize].role
    }

    /// The first byte of the line in which a node begins.
    pub(super) fn line_start(&self, id: NodeId) -> usize {
        let start = self.nodes[id.0 as usize].start;
        let line = self.lines.partition_point(|line| *line <= start).max(1);
        self.lines[line - 1] as usize
    }

    /// The next node of the same map or list.
    pub(super) fn next(&self, id: NodeId) -> Option<NodeId> {
        let next = self.nodes[id.0 as usize].next;
        (next != NONE).then_some(NodeId(next))
    }

    /// The map or list that a node belongs to.
    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        let parent = self.nodes[id.0 as usize].parent;
        (parent != NONE).then_some(NodeId(parent))
    }

    /// Whether a node stands within another, or is it.
    pub(super) fn is_within(&self, id: NodeId, outer: NodeId) -> bool {
        let mut at = Some(id);
        while let Some(node) = at {
            if node == outer {
                return true;
            }
            at = self.parent(node);
        }
        false
    }

    /// The bytes of a node in the text.
    pub(super) fn span(&self, id: NodeId) -> Range<usize> {
        let node = self.nodes[id.0 as usize];
        node.start as usize..node.end as usize
    }

    /// A scalar's text; empty for anything else.
    pub(super) fn text(&self, id: NodeId) -> &str {
        let node = self.nodes[id.0 as usize];
        match node.kind {
            Kind::Plain | Kind::Quoted if node.first == NONE => {
                &self.text[node.start as usize..node.end as usize]
            }
            Kind::Plain | Kind::Quoted => &self.texts[node.first as usize],
            Kind::Map | Kind::List | Kind::Alias => "",
        }
    }

    /// Whether YAML reads the node as nothing: an empty plain scalar, `~` or `null`.
    pub(super) fn is_null(&self, id: NodeId) -> bool {
        self.kind(id) == Kind::Plain && matches!(self.text(id), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The children of a map (keys and values in turn) or list.
    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let node = self.nodes[id.0 as usize];
        let mut at = match node.kind {
            Kind::Map | Kind::List => node.first,
            Kind::Plain | Kind::Quoted | Kind::Alias => NONE,
        };
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            Some(NodeId(std::mem::replace(&mut at, node.next)))
        })
    }

    /// Keys and values of a map, in the file's order.
    pub(super) fn entries(&self, id: NodeId) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        let mut children = self.children(id);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The key of a value. Keys are scalars, so it is the node just before.
    fn key_of(&self, id: NodeId) -> Option<NodeId> {
        match self.nodes[id.0 as usize].role {
            Role::Value => Some(NodeId(id.0 - 1)),
            Role::Root | Role::Key | Role::Item => None,
        }
    }

    /// The node to point at: the node itself, or for a map or list its key, which is short.
    fn pointer(&self, id: NodeId) -> NodeId {
        match self.kind(id) {
            Kind::Map | Kind::List => self.key_of(id).unwrap_or(id),
            Kind::Plain | Kind::Quoted | Kind::Alias => id,
        }
    }

    /// Where a node stands.
    pub(super) fn place(&self, id: NodeId) -> Place {
        let (line, column) = self.line_and_column(self.pointed(id).start);
        Place { file: self.file.clone(), line, column, path: self.path(id) }
    }

    /// The bytes to point at for a node: never a whole map, never nothing.
    pub(super) fn pointed(&self, id: NodeId) -> Range<usize> {
        let span = self.span(self.pointer(id));
        if !span.is_empty() {
            return span;
        }
        // A value that is not there (`name:`): its key says more.
        self.key_of(id).map_or(span, |key| self.span(key))
    }

    /// Line and column of a byte, both counted from 1, the column in characters.
    pub(super) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start as usize <= byte).max(1);
        let start = self.lines[line - 1] as usize;
        let end = byte.min(self.text.len());
        (line, self.text.get(start..end).map_or(0, |before| before.chars().count()) + 1)
    }

    /// The bytes of a line (counted from 1), without its end.
    pub(super) fn line(&self, line: usize) -> Range<usize> {
        let start = self.lines[line - 1] as usize;
        let end = self.lines.get(line).map_or(self.text.len(), |next| *next as usize);
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }

    /// `tenants.contoso.redirectUris[0]`; empty for the document itself.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        loop {
            let node = self.nodes[at.0 as usize];
            match node.role {
                Role::Root => break,
                Role::Key => steps.push(step_of(self.text(at))),
                Role::Value => steps.push(step_of(self.text(NodeId(at.0 - 1)))),
                Role::Item => {
                    let before = self.children(NodeId(node.parent)).take_while(|c| *c != at);
                    steps.push(format!("[{}]", before.count()));
                }
            }
            at = NodeId(node.parent);
        }
        let mut path = String::new();
        for step in steps.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }
}

/// One step of a path: a key as it is where it is plain, else quoted and shortened.
fn step_of(key: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain { key.to_owned() } else { format!("\"{}\"", shown(key)) }
}

/// A text from a file made fit for a message: at most 60 characters, nothing that steers a
/// terminal or turns the reading direction.
pub(super) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(60).map(harmless).collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

/// The character itself, or a replacement for one that steers the terminal.
pub(super) fn harmless(c: char) -> char {
    if crate::text::steers(c) { char::REPLACEMENT_CHARACTER } else { c }
}
