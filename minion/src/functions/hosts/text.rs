//! The text of hosts(5), changed line by line.
//!
//! **Invariant:** lines of other addresses, comments, blank lines and the order of all of them stay
//! byte for byte, whatever bytes they are.

/// A line of an address: where its words are.
struct Words<'a> {
    line: &'a [u8],
    /// The address first, then names; each as begin and end.
    words: Vec<(usize, usize)>,
    /// Where the comment behind them begins, or the line ends.
    end: usize,
}

/// What a line says to the resolver; none for comments and blank lines.
fn words(line: &[u8]) -> Option<Words<'_>> {
    let end = line.iter().position(|b| *b == b'#').unwrap_or(line.len());
    let (mut words, mut at) = (Vec::new(), 0);
    for word in line[..end].split(u8::is_ascii_whitespace) {
        if !word.is_empty() {
            words.push((at, at + word.len()));
        }
        at += word.len() + 1;
    }
    (!words.is_empty()).then_some(Words { line, words, end })
}

impl<'a> Words<'a> {
    fn word(&self, at: usize) -> &'a [u8] {
        let (begin, end) = self.words[at];
        &self.line[begin..end]
    }

    fn is_of(&self, address: &str) -> bool {
        self.word(0) == address.as_bytes()
    }

    fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        (1..self.words.len()).map(|at| self.word(at))
    }

    /// The comment without its sign; none when it is empty.
    fn comment(&self) -> Option<&'a [u8]> {
        let comment = self.line.get(self.end + 1..)?.trim_ascii();
        (!comment.is_empty()).then_some(comment)
    }
}

/// A line, as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Comment(String),
    Host { address: String, names: Vec<String>, comment: Option<String> },
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|b| *b == b'\n')
}

/// All lines that say something.
pub(super) fn read(text: &[u8]) -> Vec<Line> {
    let line = |line| match words(line) {
        Some(host) => Some(Line::Host {
            address: shown(host.word(0)),
            names: host.names().map(shown).collect(),
            comment: host.comment().map(shown),
        }),
        None => {
            Some(line.trim_ascii()).filter(|line| !line.is_empty()).map(|line| Line::Comment(shown(line)))
        }
    };
    lines(text).filter_map(line).collect()
}

/// Whether an address has all of these names.
pub(super) fn has(text: &[u8], address: &str, names: &[String]) -> bool {
    let of_it = lines(text).filter_map(words).filter(|host| host.is_of(address));
    let found: Vec<&[u8]> = of_it.flat_map(|host| host.names().collect::<Vec<_>>()).collect();
    names.iter().all(|name| found.contains(&name.as_bytes()))
}

fn new_line(address: &str, names: &[String], comment: Option<&[u8]>) -> Vec<u8> {
    let mut line = format!("{address}\t\t{}", names.join(" ")).into_bytes();
    if let Some(comment) = comment {
        line.extend_from_slice(b"\t\t# ");
        line.extend_from_slice(comment);
    }
    line.push(b'\n');
    line
}

fn append(mut text: Vec<u8>, line: &[u8]) -> Vec<u8> {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend_from_slice(line);
    text
}

/// Gives an address these names too, in its first line or in a new one.
pub(super) fn add(text: &[u8], address: &str, names: &[String]) -> Vec<u8> {
    let mut missing: Vec<String> = Vec::new();
    for name in names {
        if !has(text, address, std::slice::from_ref(name)) && !missing.contains(name) {
            missing.push(name.clone());
        }
    }
    if missing.is_empty() {
        return text.to_vec();
    }
    let mut new = Vec::with_capacity(text.len() + 256);
    let mut is_added = false;
    for line in lines(text) {
        match words(line).filter(|host| !is_added && host.is_of(address)) {
            Some(host) => {
                let (_, end) = *host.words.last().expect("a line of an address has a word");
                let gap: &[u8] = if host.words.len() == 1 { b"\t\t" } else { b" " };
                let behind = &line[end..];
                new.extend_from_slice(&line[..end]);
                new.extend_from_slice(gap);
                new.extend_from_slice(missing.join(" ").as_bytes());
                new.extend_from_slice(behind);
                is_added = true;
            }
            None => new.extend_from_slice(line),
        }
    }
    if is_added { new } else { append(new, &new_line(address, &missing, None)) }
}

/// Takes names from all lines of an address. A line that has none left goes.
pub(super) fn remove(text: &[u8], address: &str, names: &[String]) -> Vec<u8> {
    let is_gone = |name: &[u8]| names.iter().any(|gone| gone.as_bytes() == name);
    let mut new = Vec::with_capacity(text.len());
    for line in lines(text) {
        let Some(host) = words(line).filter(|host| host.is_of(address) && host.names().any(is_gone)) else {
            new.extend_from_slice(line);
            continue;
        };
        if host.names().all(is_gone) {
            continue;
        }
        let (first, last) = (host.words[1].0, host.words[host.words.len() - 1].1);
        let mut is_first = true;
        new.extend_from_slice(&line[..first]);
        for at in (1..host.words.len()).filter(|at| !is_gone(host.word(*at))) {
            if !is_first {
                new.extend_from_slice(&line[host.words[at - 1].1..host.words[at].0]);
            }
            new.extend_from_slice(host.word(at));
            is_first = false;
        }
        new.extend_from_slice(&line[last..]);
    }
    new
}

/// Gives an address these names and no others, in its first line or in a new one; without names all
/// its lines go. A comment that is not given is the one that is there.
pub(super) fn set(text: &[u8], address: &str, names: &[String], comment: Option<&str>) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + 256);
    let mut is_set = names.is_empty();
    for line in lines(text) {
        match words(line).filter(|host| host.is_of(address)) {
            Some(host) => {
                if !is_set {
                    let comment = comment.map(str::as_bytes).or(host.comment());
                    let is_same =
                        host.names().eq(names.iter().map(String::as_bytes)) && host.comment() == comment;
                    if is_same {
                        new.extend_from_slice(line);
                    } else {
                        new.extend_from_slice(&new_line(address, names, comment));
                    }
                }
                is_set = true;
            }
            None => new.extend_from_slice(line),
        }
    }
    if is_set { new } else { append(new, &new_line(address, names, comment.map(str::as_bytes))) }
}
