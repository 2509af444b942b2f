//! Digests of files, read piece by piece.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::super::bind::Bound;
use super::super::hashutil::{Algorithm, hex};
use super::super::{Fault, Function, Outcome, optional, required};
use super::blocking::{Stop, blocking};
use super::bytes::open;
use super::path::{failed, take};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("file.get_hash", |_, bound| Box::pin(get_hash(bound)), "Returns the digest of a file.")
            .takes(
                const {
                    &[
                        required("path", "the file (text)"),
                        optional("form", "\"sha256\"", "md5, sha1, sha224, sha256, sha384 or sha512 (text)"),
                        optional("chunk_size", "65536", "taken for Salt's sake and without effect (bytes)"),
                    ]
                },
            )
            .returns("hexadecimal digits (text); fails when the file cannot be read")
            .example("file.get_hash /etc/shadow sha512"),
        Function::new(
            "file.get_sum",
            |_, bound| Box::pin(get_sum(bound)),
            "Returns the digest of a file, or that it was not found.",
        )
        .takes(
            const {
                &[
                    required("path", "the file (text)"),
                    optional("form", "\"sha256\"", "md5, sha1, sha224, sha256, sha384 or sha512 (text)"),
                ]
            },
        )
        .returns("hexadecimal digits, or 'File not found' (text)")
        .example("file.get_sum /etc/passwd"),
        Function::new(
            "file.check_hash",
            |_, bound| Box::pin(check_hash(bound)),
            "Tells whether a file has a digest.",
        )
        .takes(
            const {
                &[
                    required("path", "the file (text)"),
                    required(
                        "file_hash",
                        "the digest, as 'sha256:…' or 'sha256=…'; without a name its length tells (text)",
                    ),
                ]
            },
        )
        .returns("boolean; fails when the file cannot be read")
        .example("file.check_hash /etc/passwd md5:e58ff2fbd0b6ee68f9d5d0d3c5ad2a55"),
    ]
}

/// The digest of a file, in hexadecimal digits.
pub(in crate::functions) fn of_file(path: &Path, algorithm: Algorithm, stop: &Stop) -> Result<String, Fault> {
    of_open(open(path)?, path, algorithm, stop)
}

/// The digest of an open file; `path` is for what goes wrong.
pub(super) fn of_open(
    mut file: File,
    path: &Path,
    algorithm: Algorithm,
    stop: &Stop,
) -> Result<String, Fault> {
    let mut digest = algorithm.start();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        stop.check()?;
        match file.read(&mut buffer).map_err(failed(path))? {
            0 => return Ok(hex(digest)),
            count => digest.update(&buffer[..count]),
        }
    }
}

async fn get_hash(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, algorithm) = (take(&mut bound, "path")?, Algorithm::named(&bound.text("form")?)?);
    blocking(move |stop| Ok(Outcome::from(of_file(&path, algorithm, stop)?))).await
}

async fn get_sum(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, algorithm) = (take(&mut bound, "path")?, Algorithm::named(&bound.text("form")?)?);
    blocking(move |stop| match path.is_file() {
        true => Ok(Outcome::from(of_file(&path, algorithm, stop)?)),
        false => Ok(Outcome::from("File not found")),
    })
    .await
}

async fn check_hash(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, given) = (take(&mut bound, "path")?, bound.text("file_hash")?);
    let (algorithm, expected) = match given.split_once(':').or_else(|| given.split_once('=')) {
        Some((name, value)) => (Algorithm::named(name)?, value.to_owned()),
        None => (by_length(&given)?, given),
    };
    blocking(move |stop| Ok(Outcome::from(of_file(&path, algorithm, stop)? == expected))).await
}

fn by_length(given: &str) -> Result<Algorithm, Fault> {
    let length = given.chars().count();
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.digits() == length).ok_or_else(|| {
        let known: Vec<String> = Algorithm::ALL
            .iter()
            .map(|algorithm| format!("{} ({})", algorithm.name(), algorithm.digits()))
            .collect();
        Fault::Invocation(format!(
            "Hash {given} (length: {length}) could not be matched to a supported hash type. The supported hash \
             types and lengths are: {}",
            known.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn digests() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-a");
        // More than one piece.
        std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
        let get = async |function: &str, args: Value| {
            let result = returned(&[call(function, args, json!({}))], &context()).await;
            if result.retcode == 0 {
                assert_shape(function, &result.value);
            }
            result.value
        };
        let whole = super::Algorithm::Sha256.of(&vec![b'x'; 3_000_000]);
        assert_eq!(get("file.get_hash", json!([file])).await, whole);
        assert_eq!(get("file.get_sum", json!([file])).await, whole);
        assert_eq!(get("file.get_sum", json!(["/no/such"])).await, "File not found");
        assert_eq!(get("file.get_hash", json!([file, "md5"])).await.as_str().unwrap().len(), 32);
        for given in [whole.clone(), format!("sha256:{whole}"), format!("sha256={whole}")] {
            assert_eq!(get("file.check_hash", json!([file, given])).await, true);
        }
        assert_eq!(get("file.check_hash", json!([file, "0".repeat(32)])).await, false);
        assert_eq!(
            get("file.get_hash", json!(["/no/such"])).await,
            "ERROR: [Errno 2] No such file or directory: '/no/such'"
        );
        let why = get("file.check_hash", json!([file, "abc"])).await;
        assert!(why.as_str().unwrap().ends_with("sha384 (96), sha512 (128)"), "{why}");
    }
}
