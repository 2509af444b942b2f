//! `hashutil.*`: digests and base64 of texts.

mod algorithm;

use base64ct::{Base64, Encoding};
use serde_json::Value;

pub(super) use self::algorithm::{Algorithm, hex};
use super::bind::Bound;
use super::file::{blocking, of_file, take_path};
use super::{Fault, Function, Outcome, Parameter, optional, required};

const INSTR: &[Parameter] = &[required("instr", "the text, as UTF-8 (text)")];

/// How Python's `base64.encodebytes` breaks lines.
const LINE: usize = 76;

pub(super) fn functions() -> Vec<Function> {
    macro_rules! of_text {
        ($name:literal, $algorithm:ident) => {
            Function::new(
                $name,
                |_, bound| Box::pin(of_text(bound, Algorithm::$algorithm)),
                "Returns the digest of a text.",
            )
            .takes(INSTR)
            .returns("hexadecimal digits (text)")
            .example(concat!($name, " 'get salted'"))
        };
    }
    vec![
        Function::new("hashutil.digest", |_, bound| Box::pin(digest(bound)), "Returns the digest of a text.")
            .takes(
                const {
                    &[
                        required("instr", "the text, as UTF-8 (text)"),
                        optional("checksum", "\"md5\"", "md5, sha1, sha224, sha256, sha384 or sha512 (text)"),
                    ]
                },
            )
            .returns("hexadecimal digits (text); fails for another algorithm")
            .example("hashutil.digest 'get salted' sha256"),
        Function::new(
            "hashutil.digest_file",
            |_, bound| Box::pin(digest_file(bound)),
            "Returns the digest of a file.",
        )
        .takes(
            const {
                &[
                    required("infile", "path of the file (text)"),
                    optional("checksum", "\"md5\"", "md5, sha1, sha224, sha256, sha384 or sha512 (text)"),
                ]
            },
        )
        .returns("hexadecimal digits (text); fails for another algorithm, and when there is no such file")
        .example("hashutil.digest_file /etc/passwd sha256"),
        of_text!("hashutil.md5_digest", Md5),
        of_text!("hashutil.sha1_digest", Sha1),
        of_text!("hashutil.sha256_digest", Sha256),
        of_text!("hashutil.sha512_digest", Sha512),
        Function::new(
            "hashutil.base64_b64encode",
            |_, bound| Box::pin(encode(bound)),
            "Encodes a text in base64, on one line.",
        )
        .takes(INSTR)
        .returns("base64 (text)")
        .example("hashutil.base64_b64encode 'get salted'"),
        Function::new(
            "hashutil.base64_b64decode",
            |_, bound| Box::pin(decode(bound)),
            "Decodes a text from base64.",
        )
        .takes(const { &[required("instr", "base64; line breaks are passed over (text)")] })
        .returns("text; bytes that are no UTF-8 become U+FFFD; fails for what is no base64")
        .example("hashutil.base64_b64decode Z2V0IHNhbHRlZA=="),
        Function::new(
            "hashutil.base64_encodestring",
            |_, bound| Box::pin(encode_lines(bound)),
            "Encodes a text in base64, in lines of 76 characters.",
        )
        .takes(INSTR)
        .returns("base64 with a line break at its end (text)")
        .example("hashutil.base64_encodestring 'get salted'"),
        Function::new(
            "hashutil.base64_decodestring",
            |_, bound| Box::pin(decode(bound)),
            "Decodes a text from base64 in lines.",
        )
        .takes(const { &[required("instr", "base64; line breaks are passed over (text)")] })
        .returns("text; bytes that are no UTF-8 become U+FFFD; fails for what is no base64")
        .example("hashutil.base64_decodestring Z2V0IHNhbHRlZA=="),
    ]
}

fn checksum(bound: &mut Bound) -> Result<Algorithm, Fault> {
    let name = bound.text("checksum")?;
    Algorithm::find(&name).ok_or_else(|| Fault::Execution(format!("Hash func '{name}' is not supported.")))
}

async fn digest(mut bound: Bound) -> Result<Outcome, Fault> {
    let algorithm = checksum(&mut bound)?;
    of_text(bound, algorithm).await
}

async fn of_text(mut bound: Bound, algorithm: Algorithm) -> Result<Outcome, Fault> {
    Ok(Outcome::from(algorithm.of(bound.text("instr")?.as_bytes())))
}

async fn digest_file(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, algorithm) = (take_path(&mut bound, "infile")?, checksum(&mut bound)?);
    blocking(move |stop| match path.is_file() {
        true => Ok(Outcome::from(of_file(&path, algorithm, stop)?)),
        false => Err(Fault::Execution(format!("File path '{}' not found.", path.display()))),
    })
    .await
}

async fn encode(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(Base64::encode_string(bound.text("instr")?.as_bytes())))
}

async fn encode_lines(mut bound: Bound) -> Result<Outcome, Fault> {
    let encoded = Base64::encode_string(bound.text("instr")?.as_bytes());
    let lines = encoded.as_bytes().chunks(LINE).map(|line| {
        format!("{}\n", std::str::from_utf8(line).expect("base64 is ASCII, which is whole at every byte"))
    });
    Ok(Outcome::from(lines.collect::<String>()))
}

async fn decode(mut bound: Bound) -> Result<Outcome, Fault> {
    let given: String = bound.text("instr")?.split_whitespace().collect();
    let bytes = Base64::decode_vec(&given)
        .map_err(|_| Fault::Execution("'instr' is not base64 with its padding".to_owned()))?;
    Ok(Outcome::from(Value::String(String::from_utf8_lossy(&bytes).into_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    #[tokio::test]
    async fn values_are_those_of_salt() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "get salted").unwrap();
        let path = file.path();
        let long = "x".repeat(60);
        for (function, args, expected) in [
            ("hashutil.digest", json!(["get salted"]), "2aacf29e92feaf528fb738bcf9d647ac"),
            ("hashutil.md5_digest", json!(["get salted"]), "2aacf29e92feaf528fb738bcf9d647ac"),
            ("hashutil.digest_file", json!([path]), "2aacf29e92feaf528fb738bcf9d647ac"),
            ("hashutil.base64_b64encode", json!(["get salted"]), "Z2V0IHNhbHRlZA=="),
            ("hashutil.base64_encodestring", json!(["get salted"]), "Z2V0IHNhbHRlZA==\n"),
            ("hashutil.base64_b64decode", json!(["Z2V0IHNhbHRlZA=="]), "get salted"),
            ("hashutil.base64_decodestring", json!(["Z2V0IHNh\nbHRlZA==\n"]), "get salted"),
            ("hashutil.base64_b64decode", json!(["/w=="]), "\u{fffd}"),
            ("hashutil.base64_encodestring", json!([""]), ""),
            ("hashutil.sha1_digest", json!(["abc"]), "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ] {
            let result = returned(&[call(function, args, json!({}))], &context()).await;
            assert_eq!((result.value.clone(), result.retcode), (json!(expected), 0), "{function}");
            assert_shape(function, &result.value);
        }
        for (function, algorithm) in
            [("hashutil.sha256_digest", Algorithm::Sha256), ("hashutil.sha512_digest", Algorithm::Sha512)]
        {
            let named = call("hashutil.digest", json!(["é", algorithm.name()]), json!({}));
            let own = call(function, json!(["é"]), json!({}));
            let values = returned(&[named, own], &context()).await.value;
            assert_eq!(values["hashutil.digest"], algorithm.of("é".as_bytes()));
            assert_eq!(values[function], values["hashutil.digest"]);
            assert_shape(function, &values[function]);
        }
        let lines = call("hashutil.base64_encodestring", json!([long]), json!({}));
        let value = returned(&[lines], &context()).await.value;
        assert_eq!(value.as_str().unwrap().lines().map(str::len).collect::<Vec<_>>(), [76, 4]);
    }

    #[tokio::test]
    async fn failures_are_those_of_salt() {
        for (function, args, expected) in [
            ("hashutil.digest", json!(["x", "crc"]), "ERROR: Hash func 'crc' is not supported."),
            ("hashutil.digest_file", json!(["/no/such"]), "ERROR: File path '/no/such' not found."),
            ("hashutil.base64_b64decode", json!(["?"]), "ERROR: 'instr' is not base64 with its padding"),
        ] {
            let result = returned(&[call(function, args, json!({}))], &context()).await;
            assert_eq!((result.value, result.retcode), (json!(expected), 1), "{function}");
        }
    }
}
