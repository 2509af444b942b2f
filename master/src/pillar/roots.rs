//! The option `pillar_roots`, in Salt's form or as a plain list.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// The folders with the pillar files. None named: `pillar` in the folder of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

/// Salt's name of the only environment that there is.
pub(super) const BASE: &str = "base";

impl Roots {
    /// The folders.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }
}

impl Serialize for Roots {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Roots {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RootsVisitor)
    }
}

struct RootsVisitor;

impl<'de> Visitor<'de> for RootsVisitor {
    type Value = Roots;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of folders, or base: with one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Roots, A::Error> {
        let mut folders = Vec::new();
        while let Some(folder) = seq.next_element::<PathBuf>()? {
            if folder.as_os_str().is_empty() {
                return Err(de::Error::custom("a folder has no name"));
            }
            folders.push(folder);
        }
        Ok(Roots(folders))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Roots, A::Error> {
        let mut roots = Roots::default();
        while let Some((name, folders)) = map.next_entry::<String, Vec<PathBuf>>()? {
            if name != BASE {
                let name = brine_local::text::escape(&name);
                return Err(de::Error::custom(format!(
                    "there is one environment, base, and none called {name:?}"
                )));
            }
            roots.0.extend(folders);
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn both_forms() {
        let folders =
            |value: Value| from_value::<Roots>(value).map(|roots| roots.0).map_err(|e| e.to_string());
        assert_eq!(folders(json!(["/srv/pillar", "b"])), Ok(vec!["/srv/pillar".into(), "b".into()]));
        assert_eq!(folders(json!({"base": ["/srv/pillar"]})), Ok(vec!["/srv/pillar".into()]));
        assert_eq!(folders(json!([])), Ok(vec![]));
        assert!(folders(json!({"prod": ["/x"]})).unwrap_err().contains("one environment, base"));
        assert!(folders(json!("/srv/pillar")).unwrap_err().contains("a list of folders"));
        assert!(folders(json!([""])).unwrap_err().contains("no name"));
        let roots: Roots = from_value(json!({"base": ["/a"]})).expect("folders");
        assert_eq!(serde_json::to_value(&roots).expect("JSON"), json!(["/a"]));
    }
}
