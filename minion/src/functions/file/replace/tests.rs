use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use super::super::super::testing::{assert_shape, call, context, returned};
use super::*;

struct Scratch {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Scratch {
    /// A file with a name that nobody should have.
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-n a\nme");
        fs::write(&file, text).unwrap();
        Self { folder, file }
    }

    async fn run(&self, function: &str, args: Value, keywords: Value) -> (Value, i32) {
        let mut all = vec![json!(self.file)];
        all.extend(args.as_array().unwrap().iter().cloned());
        let result = returned(&[call(function, Value::Array(all), keywords)], &context()).await;
        if result.retcode == 0 {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("-n a\nme.bak")
    }
}

#[tokio::test]
async fn replaces_and_keeps_a_backup() {
    let scratch = Scratch::of("a = 1\nb = 2\r\nlast");
    let (difference, retcode) =
        scratch.run("file.replace", json!([r"^(\w) = \d", r"\1 = 3"]), json!({})).await;
    assert_eq!((scratch.text().as_str(), retcode), ("a = 3\nb = 3\r\nlast", 0));
    let text = difference.as_str().unwrap();
    assert!(text.starts_with("--- \n+++ \n@@ -1,3 +1,3 @@\n-a = 1\n"), "{text}");
    assert_eq!(fs::read_to_string(scratch.backup()).unwrap(), "a = 1\nb = 2\r\nlast");
    assert_eq!(scratch.run("file.replace", json!([r"^(\w) = \d", r"\1 = 3"]), json!({})).await.0, "");
}

#[tokio::test]
async fn its_switches() {
    for (keywords, expected, after) in [
        (json!({"dry_run": true, "show_changes": false}), json!(true), "x a\nA\n"),
        (json!({"search_only": true}), json!(true), "x a\nA\n"),
        (json!({"count": 1, "show_changes": false, "flags": ["I"]}), json!(true), "x b\nA\n"),
        (json!({"show_changes": false, "flags": "IGNORECASE"}), json!(true), "x b\nb\n"),
        (json!({"show_changes": false, "flags": 2, "preserve_inode": false}), json!(true), "x b\nb\n"),
    ] {
        let scratch = Scratch::of("x a\nA\n");
        let (value, retcode) = scratch.run("file.replace", json!(["a", "b"]), keywords.clone()).await;
        assert_eq!((value, retcode, scratch.text().as_str()), (expected, 0, after), "{keywords}");
    }
    for (keywords, after) in [
        (json!({"append_if_not_found": true}), "a\nk = v\n"),
        (json!({"prepend_if_not_found": true, "not_found_content": "z"}), "z\na"),
        (json!({"append_if_not_found": true, "not_found_content": "a"}), "a"),
        (json!({}), "a"),
    ] {
        let scratch = Scratch::of("a");
        let all = json!({"backup": false, "show_changes": false}).as_object().unwrap().clone();
        let keywords: serde_json::Map<_, _> =
            all.into_iter().chain(keywords.as_object().unwrap().clone()).collect();
        let (value, _) = scratch.run("file.replace", json!(["^k.*", "k = v"]), Value::Object(keywords)).await;
        assert_eq!((value, scratch.text().as_str()), (json!(after != "a"), after));
        assert!(!scratch.backup().exists());
    }
}

#[tokio::test]
async fn what_cannot_be_replaced_is_left_alone() {
    let scratch = Scratch::of("text\0");
    let refused = |value: &Value| value.as_str().unwrap().to_owned();
    let (value, retcode) = scratch.run("file.replace", json!(["t", "x"]), json!({})).await;
    assert!(refused(&value).contains("Cannot perform string replacements on a binary file"), "{value}");
    assert_eq!((retcode, scratch.text().as_str()), (1, "text\0"));
    let both = json!({"append_if_not_found": true, "prepend_if_not_found": true});
    let (value, _) = scratch.run("file.replace", json!(["t", "x"]), both).await;
    assert!(refused(&value).ends_with("Only one of append and prepend_if_not_found is permitted"));
    let (value, _) = scratch.run("file.replace", json!(["(", "x"]), json!({})).await;
    assert!(refused(&value).contains("cannot be used: unclosed group"), "{value}");
    let (value, retcode) = scratch.run("file.replace", json!(["a", "x", -1]), json!({})).await;
    assert!(retcode == 1 && refused(&value).contains("'count'"), "{value}");

    let missing = |keywords| call("file.replace", json!(["/no/such", "a", "b"]), keywords);
    let result = returned(&[missing(json!({}))], &context()).await;
    assert_eq!(result.value, "ERROR executing 'file.replace': File not found: /no/such");
    let result = returned(&[missing(json!({"ignore_if_missing": true}))], &context()).await;
    assert_eq!((result.value, result.retcode), (json!(false), 0));
}

#[tokio::test]
async fn links_stay_links_and_second_names_see_it() {
    let scratch = Scratch::of("a");
    let (link, second) = (scratch.folder.path().join("link"), scratch.folder.path().join("second"));
    symlink(&scratch.file, &link).unwrap();
    fs::hard_link(&scratch.file, &second).unwrap();
    let inode = fs::metadata(&scratch.file).unwrap().ino();
    let through = call("file.replace", json!([link, "a", "longer"]), json!({}));
    assert_eq!(returned(&[through], &context()).await.retcode, 0);
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&second).unwrap(), "longer");
    assert_eq!(fs::metadata(&scratch.file).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(scratch.backup()).unwrap(), "a", "beside the file, not beside the link");
}

#[tokio::test]
async fn searches() {
    let scratch = Scratch::of("first\nSecond\n");
    for (args, keywords, expected) in [
        (json!(["^second$"]), json!({}), false),
        (json!(["^second$", "I"]), json!({}), false),
        (json!(["^second$", "I"]), json!({"multiline": true}), true),
        (json!(["^Second$"]), json!({}), true),
    ] {
        assert_eq!(scratch.run("file.search", args.clone(), keywords).await, (json!(expected), 0), "{args}");
    }
}

#[tokio::test]
async fn comments() {
    let before = "pcspkr\r\n  pcspkr\n# pcspkr2\n#pcspkr\nother";
    for (function, args, keywords, expected) in [
        ("file.comment", json!(["pcspkr$"]), json!({}), "#pcspkr\r\n  pcspkr\n# pcspkr2\n#pcspkr\nother"),
        ("file.comment", json!(["^other", ";"]), json!({}), "pcspkr\r\n  pcspkr\n# pcspkr2\n#pcspkr\n;other"),
        ("file.uncomment", json!(["pcspkr"]), json!({}), "pcspkr\r\n  pcspkr\n pcspkr2\npcspkr\nother"),
        (
            "file.comment_line",
            json!(["pcspkr$", "#", false]),
            json!({}),
            "pcspkr\r\n  pcspkr\n# pcspkr2\npcspkr\nother",
        ),
    ] {
        let scratch = Scratch::of(before);
        let (value, retcode) = scratch.run(function, args.clone(), keywords).await;
        assert!(
            retcode == 0 && value.as_str().is_some_and(|text| text.starts_with("--- \n+++ \n")),
            "{value}"
        );
        assert_eq!(scratch.text(), expected, "{function} {args}");
        assert_eq!(fs::read_to_string(scratch.backup()).unwrap(), before);
        assert_eq!(scratch.run(function, json!(["nothing"]), json!({})).await, (json!(false), 0));
    }
}
