use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::super::testing::{assert_shape, call, context, returned};
use super::*;

async fn run(function: &str, args: Value, keywords: Value) -> (Value, i32) {
    let result = returned(&[call(function, args, keywords)], &context()).await;
    if result.retcode == 0 {
        assert_shape(function, &result.value);
    }
    (result.value, result.retcode)
}

#[tokio::test]
async fn tar_packs_and_unpacks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a b", "c", "--checkpoint-action=exec=touch pwned"] {
        fs::write(at(name), name).unwrap();
    }
    fs::create_dir(at("to")).unwrap();
    let archive = at("x.tgz");
    let keywords = json!({"sources": "*", "cwd": folder.path()});
    let (value, retcode) = run("archive.tar", json!(["czvf", at("x.tgz")]), keywords).await;
    assert_eq!(retcode, 0, "{value}");
    let packed: Vec<&str> = value.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(
        packed.contains(&"a b") && packed.contains(&"./--checkpoint-action=exec=touch pwned"),
        "{packed:?}"
    );
    assert!(!at("pwned").exists());
    let (value, retcode) = run("archive.tar", json!(["-x -z -f", archive]), json!({"dest": at("to")})).await;
    assert_eq!((value, retcode), (json!([]), 0));
    assert_eq!(fs::read(at("to/a b")).unwrap(), b"a b");
    let (listed, _) = run("archive.list", json!([archive]), json!({})).await;
    assert!(listed.as_array().unwrap().contains(&json!("c")), "{listed}");

    let (value, retcode) = run("archive.tar", json!(["xf", "/no/such.tar"]), json!({})).await;
    assert!(retcode != 0 && value[0].as_str().unwrap().contains("Cannot open"), "{value}");
    let (value, _) = run("archive.tar", json!(["", "x"]), json!({})).await;
    assert_eq!(value, "ERROR executing 'archive.tar': Tar options can not be empty");
    assert_eq!(run("archive.tar", json!(["tf", "x"]), json!({"cwd": "rel"})).await.1, 1);
    let (value, _) = run("archive.list", json!(["/x.rar"]), json!({})).await;
    assert_eq!(value, "ERROR: Unable to guess archive format, please pass an 'archive_format' argument.");
    assert_eq!(
        run("archive.list", json!(["/x", "rar"]), json!({})).await.0,
        "ERROR: Unsupported archive format 'rar'"
    );
    let bare = Context { path: "/nowhere".to_owned(), ..context() };
    let missing = returned(&[call("archive.tar", json!(["tf", "x"]), json!({}))], &bare).await;
    assert_eq!(missing.value, "ERROR: this needs the program \"tar\", which is not installed");
}

#[tokio::test]
async fn gzip_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (file, packed) = (folder.path().join("-f x"), folder.path().join("-f x.gz"));
    fs::write(&file, "text").unwrap();
    assert_eq!(run("archive.gzip", json!([file]), json!({"options": "-9"})).await, (json!([]), 0));
    assert!(packed.exists() && !file.exists());
    assert_eq!(run("archive.gunzip", json!([packed]), json!({})).await, (json!([]), 0));
    assert_eq!(fs::read(&file).unwrap(), b"text");
    let (value, retcode) = run("archive.gunzip", json!([file]), json!({})).await;
    assert!(retcode != 0 && value[0].as_str().unwrap().contains("unknown suffix"), "{value}");
}

struct Zip {
    folder: tempfile::TempDir,
    file: PathBuf,
    dest: PathBuf,
}

impl Zip {
    fn of(fill: impl FnOnce(&mut ZipWriter<File>)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, dest) = (folder.path().join("-x.zip"), folder.path().join("to"));
        let mut writer = ZipWriter::new(File::create(&file).unwrap());
        fill(&mut writer);
        writer.finish().unwrap();
        Self { folder, file, dest }
    }

    async fn unzip(&self, keywords: Value) -> (Value, i32) {
        run("archive.unzip", json!([self.file, self.dest]), keywords).await
    }
}

fn add(writer: &mut ZipWriter<File>, name: &str, text: &[u8], mode: u32) {
    writer.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
    writer.write_all(text).unwrap();
}

#[tokio::test]
async fn zip_archives_are_unpacked() {
    let zip = Zip::of(|writer| {
        writer.add_directory("d", SimpleFileOptions::default().unix_permissions(0o750)).unwrap();
        add(writer, "d/a b", b"text", 0o4640);
        add(writer, "secret", b"s", 0o600);
        writer.add_symlink("d/link", "a b", SimpleFileOptions::default()).unwrap();
    });
    let (value, retcode) = zip.unzip(json!({"excludes": "secret"})).await;
    assert_eq!((value, retcode), (json!(["d/", "d/a b", "d/link"]), 0));
    assert_eq!(fs::read(zip.dest.join("d/link")).unwrap(), b"text");
    let mode = |name: &str| fs::metadata(zip.dest.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/a b")), (0o750, 0o640), "without set-user-ID");
    assert!(!zip.dest.join("secret").exists());
    let (value, _) = zip.unzip(json!({"trim_output": 1, "extract_perms": false})).await;
    assert_eq!(value, json!(["d/", "List trimmed after 1 files."]));
    let (value, _) = run("archive.list", json!([zip.file]), json!({})).await;
    assert_eq!(value, json!(["d/", "d/a b", "d/link", "secret"]));
}

#[tokio::test]
async fn nothing_leaves_the_folder() {
    for name in ["../out", "/tmp/brine-out", "a/../../out"] {
        let zip = Zip::of(|writer| {
            add(writer, "first", b"1", 0o644);
            add(writer, name, b"2", 0o644);
        });
        let (value, retcode) = zip.unzip(json!({})).await;
        assert!(
            retcode == 1 && value.as_str().unwrap().contains("leads out of the folder"),
            "{name}: {value}"
        );
        assert!(!zip.dest.exists() && fs::read_dir(zip.folder.path()).unwrap().count() == 1);
    }
    // A link of the archive, and one that was there.
    let zip = Zip::of(|writer| {
        writer.add_symlink("out", "..", SimpleFileOptions::default()).unwrap();
        add(writer, "out/file", b"x", 0o644);
    });
    let (value, retcode) = zip.unzip(json!({})).await;
    assert!(retcode == 1, "{value}");
    assert!(!zip.folder.path().join("file").exists());
    let zip = Zip::of(|writer| add(writer, "there/file", b"x", 0o644));
    fs::create_dir(&zip.dest).unwrap();
    symlink(zip.folder.path(), zip.dest.join("there")).unwrap();
    let (value, retcode) = zip.unzip(json!({})).await;
    assert!(retcode == 1 && value.as_str().unwrap().ends_with("is there and is no folder"), "{value}");
    assert!(!zip.folder.path().join("file").exists());
    let zip = Zip::of(|writer| writer.add_symlink("l", "/etc/passwd", SimpleFileOptions::default()).unwrap());
    assert_eq!(zip.unzip(json!({})).await.1, 1);
    assert!(!zip.dest.join("l").is_symlink());
    // Up again behind a name that is a link itself, and by a link that was there.
    let zip = Zip::of(|writer| {
        writer.add_symlink("l", ".", SimpleFileOptions::default()).unwrap();
        writer.add_symlink("out", "l/l/l/../../../../etc/passwd", SimpleFileOptions::default()).unwrap();
    });
    let (value, retcode) = zip.unzip(json!({})).await;
    assert!(retcode == 1 && value.as_str().unwrap().contains("leads out of the folder"), "{value}");
    assert!(!zip.dest.join("out").is_symlink());
    let zip = Zip::of(|writer| {
        writer.add_symlink("out", "there/etc/passwd", SimpleFileOptions::default()).unwrap();
    });
    fs::create_dir(&zip.dest).unwrap();
    symlink("/", zip.dest.join("there")).unwrap();
    let (value, retcode) = zip.unzip(json!({})).await;
    assert!(retcode == 1 && value.as_str().unwrap().contains("leads out of the folder"), "{value}");
    assert!(!zip.dest.join("out").is_symlink());
}

#[test]
fn a_colon_is_no_other_machine() {
    for (name, expected) in [("host:/x.tar", "./host:/x.tar"), ("/a:b.tar", "/a:b.tar"), ("a.tar", "a.tar")] {
        assert_eq!(on_this_machine(name.to_owned()), expected);
    }
}

#[tokio::test]
async fn bombs_and_rubbish() {
    let zip = Zip::of(|writer| add(writer, "zeros", &vec![0; 5_000_000], 0o644));
    assert!(fs::metadata(&zip.file).unwrap().len() < 50_000);
    let (value, retcode) = zip.unzip(json!({"max_size": 1_000_000})).await;
    assert!(retcode == 1 && value.as_str().unwrap().contains("more than 1000000 bytes"), "{value}");
    assert!(!zip.dest.join("zeros").exists());

    // It says that it is small.
    let mut bytes = fs::read(&zip.file).unwrap();
    let size = 5_000_000_u32.to_le_bytes();
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == size).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
    }
    fs::write(&zip.file, bytes).unwrap();
    assert_eq!(zip.unzip(json!({"max_size": 1_000_000})).await.1, 1);
    assert!(!zip.dest.join("zeros").exists());
    assert_eq!(fs::read_dir(&zip.dest).map_or(0, Iterator::count), 0, "nothing is left behind");

    fs::write(&zip.file, b"PK\x01\x02".repeat(100_001)).unwrap();
    let (value, _) = zip.unzip(json!({})).await;
    assert!(value.as_str().unwrap().ends_with("it has more than 100000 files"), "{value}");
    fs::write(&zip.file, "no archive").unwrap();
    let (value, retcode) = zip.unzip(json!({})).await;
    let said = "ERROR: Exception encountered unpacking zipfile: ";
    assert!(retcode == 1 && value.as_str().unwrap().starts_with(said), "{value}");
    let (value, _) = run("archive.unzip", json!(["/no/such.zip", "/tmp/x"]), json!({})).await;
    assert_eq!(value, "ERROR: [Errno 2] No such file or directory: '/no/such.zip'");
}
