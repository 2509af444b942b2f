//! A target as a tree: asked, folded and written down again.

use super::key::{Ahead, Once};
use super::term::Term;
use super::words::spelled;
use super::{Known, Uses};

/// A term or what joins terms.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Term {
        /// As a word of a compound, without quotes.
        word: Box<str>,
        term: Term,
    },
    /// A nodegroup with what it means.
    Group {
        name: Box<str>,
        body: Box<Node>,
    },
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// What is left of a tree once the terms about records are known.
pub(super) enum Folded {
    Known(bool),
    Open(Node),
}

/// How strongly a node holds together what it joins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Or,
    And,
    Not,
    Term,
}

impl Node {
    pub(super) fn matches(&self, minion: &Known<'_>, ahead: &Once<'_>) -> bool {
        match self {
            Node::Term { term, .. } => term.matches(minion, ahead),
            Node::Group { body, .. } => body.matches(minion, ahead),
            Node::Not(node) => !node.matches(minion, ahead),
            Node::And(nodes) => nodes.iter().all(|node| node.matches(minion, ahead)),
            Node::Or(nodes) => nodes.iter().any(|node| node.matches(minion, ahead)),
        }
    }

    /// Each term that is written, with whether it holds.
    pub(super) fn explain(&self, minion: &Known<'_>, said: &mut Vec<(String, bool)>) {
        let holds = || self.matches(minion, &Ahead::default().once());
        match self {
            Node::Term { word, .. } => said.push((spelled(word), holds())),
            Node::Group { name, .. } => said.push((spelled(&format!("N@{name}")), holds())),
            Node::Not(node) => node.explain(minion, said),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.explain(minion, said)),
        }
    }

    /// Each term, spelled out.
    pub(super) fn each_term<'n>(&'n self, visit: &mut impl FnMut(&'n Term)) {
        match self {
            Node::Term { term, .. } => visit(term),
            Node::Group { body, .. } => body.each_term(visit),
            Node::Not(node) => node.each_term(visit),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.each_term(visit)),
        }
    }

    pub(super) fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        self.each_term(&mut |term| term.add_uses(&mut uses));
        uses
    }

    pub(super) fn has_group(&self) -> bool {
        match self {
            Node::Term { .. } => false,
            Node::Group { .. } => true,
            Node::Not(node) => node.has_group(),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(Node::has_group),
        }
    }

    /// The ids of lists that nothing takes away again.
    pub(super) fn named<'n>(&'n self, is_wanted: bool, ids: &mut Vec<&'n str>) {
        match self {
            Node::Term { term: Term::List(listed), .. } if is_wanted => {
                ids.extend(listed.iter().map(|id| &**id));
            }
            Node::Term { .. } => {}
            Node::Group { body, .. } => body.named(is_wanted, ids),
            Node::Not(node) => node.named(!is_wanted, ids),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| node.named(is_wanted, ids)),
        }
    }

    /// What is left when records are as they are now.
    pub(super) fn folded(&self, minion: &Known<'_>) -> Folded {
        match self {
            Node::Term { term: term @ Term::Record(_), .. } => {
                Folded::Known(term.matches(minion, &Ahead::default().once()))
            }
            Node::Term { .. } => Folded::Open(self.clone()),
            Node::Group { body, .. } => body.folded(minion),
            Node::Not(node) => match node.folded(minion) {
                Folded::Known(truth) => Folded::Known(!truth),
                Folded::Open(node) => Folded::Open(Node::Not(Box::new(node))),
            },
            Node::And(nodes) => join(nodes, minion, true, Node::And),
            Node::Or(nodes) => join(nodes, minion, false, Node::Or),
        }
    }

    /// Writes it as a compound with its nodegroups spelled out.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Node::Term { word, .. } => out.push_str(&spelled(word)),
            Node::Group { body, .. } => body.write(out),
            Node::Not(node) => {
                out.push_str("not ");
                node.write_within(Strength::Term, out);
            }
            Node::And(nodes) => write_joined(nodes, " and ", Strength::Not, out),
            Node::Or(nodes) => write_joined(nodes, " or ", Strength::And, out),
        }
    }

    fn write_within(&self, needed: Strength, out: &mut String) {
        if self.strength() >= needed {
            return self.write(out);
        }
        out.push_str("( ");
        self.write(out);
        out.push_str(" )");
    }

    fn strength(&self) -> Strength {
        match self {
            Node::Term { .. } => Strength::Term,
            Node::Group { body, .. } => body.strength(),
            Node::Not(_) => Strength::Not,
            Node::And(_) => Strength::And,
            Node::Or(_) => Strength::Or,
        }
    }
}

fn write_joined(nodes: &[Node], operator: &str, needed: Strength, out: &mut String) {
    for (at, node) in nodes.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { operator });
        node.write_within(needed, out);
    }
}

/// Joins what is left; a part that is `neutral` says nothing, one that is not decides.
fn join(nodes: &[Node], minion: &Known<'_>, neutral: bool, make: fn(Vec<Node>) -> Node) -> Folded {
    let mut left = Vec::new();
    for node in nodes {
        match node.folded(minion) {
            Folded::Known(truth) if truth == neutral => {}
            Folded::Known(decides) => return Folded::Known(decides),
            Folded::Open(node) => left.push(node),
        }
    }
    match left.len() {
        0 => Folded::Known(neutral),
        1 => Folded::Open(left.remove(0)),
        _ => Folded::Open(make(left)),
    }
}
