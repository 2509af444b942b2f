//! Fixed numbers of bytes as hex in JSON, for `#[serde(with)]`.

macro_rules! hex_array {
    ($name:ident, $len:literal) => {
        pub(crate) mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(crate) fn serialize<S: Serializer>(bytes: &[u8; $len], to: S) -> Result<S::Ok, S::Error> {
                let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
                to.serialize_str(&text)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; $len], D::Error> {
                let text = String::deserialize(from)?;
                let bad = || D::Error::custom(concat!("expected ", stringify!($len), " bytes in hex"));
                if text.len() != 2 * $len || !text.is_ascii() {
                    return Err(bad());
                }
                let mut bytes = [0; $len];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
                }
                Ok(bytes)
            }
        }
    };
}

hex_array!(hex16, 16);
hex_array!(hex32, 32);
