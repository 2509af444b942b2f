//! docs/api.md, read as its readers do: a section for each endpoint, with `curl` lines in it.

use std::fs;
use std::path::Path;

/// One `## METHOD PATH` of the page.
#[derive(Debug)]
pub struct Section {
    /// Method and path, as in the page.
    pub heading: String,
    /// The method.
    pub method: String,
    /// The path, with `{…}` for what varies.
    pub path: String,
    /// What stands below the heading.
    pub text: String,
}

impl Section {
    /// Its `curl` lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| line.starts_with("curl "))
    }
}

/// A text of the source tree.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
        .expect("it is in the tree")
}

/// All sections that are about an endpoint.
///
/// # Panics
/// The page is not there, or a line is outside of all sections.
#[must_use]
pub fn sections() -> Vec<Section> {
    let text = read("docs/api.md");
    let found: Vec<Section> = text
        .split("\n## ")
        .filter_map(|part| {
            let (heading, text) = part.split_once('\n')?;
            let (method, path) = heading.split_once(" /")?;
            let heading = heading.to_owned();
            Some(Section {
                heading,
                method: method.to_owned(),
                path: format!("/{path}"),
                text: text.to_owned(),
            })
        })
        .collect();
    let lines = text.lines().filter(|line| line.starts_with("curl ")).count();
    assert_eq!(
        found.iter().flat_map(Section::lines).count(),
        lines,
        "a curl line is outside of all sections"
    );
    assert!(found.len() > 35, "{found:#?}");
    found
}
