//! Nodegroups as words.

use super::term::too_long;
use super::words::{TermWord, Token, Word, spelled, words};
use super::{EXPRESSION_MAX, NEST_MAX, Nodegroup, Nodegroups, TargetError, shown, too_deep};

/// What makes a lone word of a nodegroup a regular expression, as in Salt.
const REGEX_SIGNS: [char; 8] = ['(', '[', '{', '\\', '?', '}', ']', ')'];

/// What a nodegroup says.
pub(super) struct GroupWords {
    pub(super) words: Vec<Word>,
    /// Whether they were no compound and became one word of it.
    is_made: bool,
}

/// The words of a nodegroup. Ids without operators between them are a list of them, and a lone
/// word that looks like a regular expression is one.
pub(super) fn group_words(group: &Nodegroup) -> Result<GroupWords, TargetError> {
    let words = match group {
        Nodegroup::Text(text) => words(text)?,
        Nodegroup::Words(listed) => listed.iter().map(|word| Word::listed(word)).collect::<Result<_, _>>()?,
    };
    let terms: Option<Vec<&str>> = words
        .iter()
        .map(|word| match &word.token {
            Token::Term(term) => Some(term.as_str()),
            _ => None,
        })
        .collect();
    let is_plain = |term: &&str| {
        let is_kind =
            term.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && term[1..].starts_with('@');
        !term.contains('*') && !is_kind && TermWord::split(term).letter.is_none()
    };
    let made = match terms.as_deref() {
        Some([]) | None => None,
        Some(terms) if !terms.iter().all(is_plain) => None,
        Some([one]) if one.contains(REGEX_SIGNS) => Some(format!("E@{one}")),
        Some(ids) if ids.iter().any(|id| id.contains(REGEX_SIGNS)) => None,
        Some(ids) => Some(format!("L@{}", ids.join(","))),
    };
    Ok(match made {
        Some(term) => {
            GroupWords { words: vec![Word { token: Token::Term(term), column: 1, quotes: 0 }], is_made: true }
        }
        None => GroupWords { words, is_made: false },
    })
}

/// Finds a nodegroup that may be entered from those that `chain` names.
pub(super) fn find<'g>(
    name: &str,
    groups: &'g Nodegroups,
    chain: &[String],
) -> Result<&'g Nodegroup, String> {
    if let Some(from) = chain.iter().position(|entered| entered == name) {
        let cycle: Vec<String> = chain[from..].iter().map(String::as_str).chain([name]).map(shown).collect();
        return Err(format!("nodegroup {} refers to itself: {}", shown(name), cycle.join(" -> ")));
    }
    groups.get(name).ok_or_else(|| {
        let known = match groups.len() {
            0 => "there are none".to_owned(),
            count => {
                let some: Vec<String> = groups.keys().take(NAMED).map(|name| shown(name)).collect();
                format!("there are {}{}", some.join(", "), if count > NAMED { ", ..." } else { "" })
            }
        };
        format!("no nodegroup is called {}: {known}", shown(name))
    })
}

/// How many nodegroups an error names.
const NAMED: usize = 8;

/// The words of a nodegroup with those that it names spelled out in parentheses.
///
/// # Errors
/// It or one that it names is not there or names itself, or all together is too long.
pub fn spell_out(name: &str, groups: &Nodegroups) -> Result<Vec<String>, TargetError> {
    let mut speller = Speller { groups, chain: Vec::new(), left: EXPRESSION_MAX };
    let said = speller.words(name).map_err(|what| TargetError { column: 1, what })?;
    Ok(if said.has_nested { in_parentheses(said.words) } else { said.words })
}

fn in_parentheses(mut words: Vec<String>) -> Vec<String> {
    if !words.is_empty() {
        words.insert(0, "(".to_owned());
        words.push(")".to_owned());
    }
    words
}

struct Speller<'g> {
    groups: &'g Nodegroups,
    chain: Vec<String>,
    /// How many bytes may still be said.
    left: usize,
}

struct Said {
    words: Vec<String>,
    has_nested: bool,
    is_made: bool,
}

impl Speller<'_> {
    fn words(&mut self, name: &str) -> Result<Said, String> {
        let group = find(name, self.groups, &self.chain)?;
        if self.chain.len() >= NEST_MAX {
            return Err(too_deep());
        }
        // Parentheses count too, or groups of nothing could double for ever.
        self.take("( ) ")?;
        self.chain.push(name.to_owned());
        let group = group_words(group).map_err(|error| format!("nodegroup {}: {error}", shown(name)))?;
        let mut said = Said { words: Vec::new(), has_nested: false, is_made: group.is_made };
        for word in group.words {
            let word = match word.token {
                Token::And => "and".to_owned(),
                Token::Or => "or".to_owned(),
                Token::Not => "not".to_owned(),
                Token::Open => "(".to_owned(),
                Token::Close => ")".to_owned(),
                Token::Term(term) => match term.strip_prefix("N@").filter(|inner| !inner.is_empty()) {
                    Some(inner) => {
                        let inner = self.words(inner)?;
                        said.has_nested = true;
                        said.words.extend(if inner.is_made {
                            inner.words
                        } else {
                            in_parentheses(inner.words)
                        });
                        continue;
                    }
                    None => spelled(&term),
                },
            };
            self.take(&word)?;
            said.words.push(word);
        }
        self.chain.pop();
        Ok(said)
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        self.left = self.left.checked_sub(word.len()).ok_or_else(too_long)?;
        Ok(())
    }
}
