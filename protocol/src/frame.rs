//! The plaintext of a sealed frame: a ten-byte header, a JSON body, and optionally binary bytes.
//!
//! ```text
//! offset  size  field
//!      0     1  kind      the message (control frames) or what the stream carries
//!      1     1  flags     bit 0 REKEY: the sender's next frame uses the next key; others zero
//!      2     4  stream    big-endian; 0 is control, everything else a stream
//!      6     4  length    big-endian length of the JSON part
//!     10     n  JSON      UTF-8
//!   10+n     m  body      the rest: raw bytes, empty for most messages
//! ```
//!
//! Control (stream 0) goes before streams; credit is per stream, granted by the receiver; a
//! stream's chunk is at most [`CHUNK_MAX`]. Streams are not used yet: their header is fixed here
//! so that files, live output and tunnels share the channel without another version.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the header.
pub const HEADER: usize = 10;

/// The largest chunk of a stream, so that control never waits behind more than one of them.
pub const CHUNK_MAX: usize = 64 * 1024;

/// The sender's next frame is sealed under the next key.
pub const REKEY: u8 = 1;

/// One frame, before sealing or after opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the JSON part is.
    pub kind: u8,
    /// [`REKEY`] or zero.
    pub flags: u8,
    /// 0 for control.
    pub stream: u32,
    /// The JSON part.
    pub json: Bytes,
    /// The binary part.
    pub body: Bytes,
}

/// Why an opened frame is not understood. The peer proved who it is and still speaks nonsense:
/// the session ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a header, or than its JSON length says.
    #[error("a frame of {0} bytes is shorter than its header says")]
    Short(usize),
    /// Flag bits that this version does not know.
    #[error("unknown frame flags {0:#04x}")]
    Flags(u8),
    /// A kind that this version does not know in this direction.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// A stream was used; this version has none.
    #[error("stream {0} is not open")]
    Stream(u32),
    /// The JSON part is not the message that the kind names.
    #[error("message of kind {kind} is malformed at byte {at}")]
    Json {
        /// The kind in the header.
        kind: u8,
        /// Where in the JSON part.
        at: usize,
    },
}

impl Frame {
    /// A control message without binary part.
    #[must_use]
    pub fn control(kind: u8, json: Vec<u8>) -> Self {
        Self { kind, flags: 0, stream: 0, json: json.into(), body: Bytes::new() }
    }

    /// Length of the encoded frame.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEADER + self.json.len() + self.body.len()
    }

    /// Appends the encoded frame.
    pub fn encode(&self, to: &mut BytesMut) {
        to.reserve(self.encoded_len());
        to.put_u8(self.kind);
        to.put_u8(self.flags);
        to.put_u32(self.stream);
        to.put_u32(u32::try_from(self.json.len()).expect("messages are far below 4 GiB"));
        to.put_slice(&self.json);
        to.put_slice(&self.body);
    }

    /// Reads a frame that was opened.
    ///
    /// # Errors
    /// The bytes are shorter than they say, or use flags that this version does not know.
    pub fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        if bytes.len() < HEADER {
            return Err(FrameError::Short(bytes.len()));
        }
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let flags = bytes[1];
        if flags & !REKEY != 0 {
            return Err(FrameError::Flags(flags));
        }
        let json_end = (word(6) as usize)
            .checked_add(HEADER)
            .filter(|end| *end <= bytes.len())
            .ok_or(FrameError::Short(bytes.len()))?;
        let stream = word(2);
        if stream != 0 {
            return Err(FrameError::Stream(stream));
        }
        Ok(Self {
            kind: bytes[0],
            flags,
            stream,
            json: bytes.slice(HEADER..json_end),
            body: bytes.slice(json_end..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_is_fixed() {
        let frame = Frame {
            kind: 35,
            flags: REKEY,
            stream: 0,
            json: Bytes::from_static(b"{}"),
            body: Bytes::from_static(b"\x00\xff"),
        };
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        assert_eq!(&bytes[..], b"\x23\x01\x00\x00\x00\x00\x00\x00\x00\x02{}\x00\xff");
        assert_eq!(Frame::decode(&bytes.freeze()), Ok(frame));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_err(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            if let Ok(frame) = Frame::decode(&bytes) {
                let mut again = BytesMut::new();
                frame.encode(&mut again);
                prop_assert_eq!(again.freeze(), bytes);
            }
        }
    }
}
