//! The metadata of a READY command.

use bytes::Bytes;

use super::{Refusal, SocketType};

/// The longest identity that ZMTP allows.
const IDENTITY_MAX: usize = 255;

/// Reads `name-length name value-length(4, big-endian) value` until the end.
///
/// Unknown properties are skipped, as RFC 23 wants; a property that is there twice is malformed,
/// so that no two readers can disagree on which one counts.
pub(super) fn read(mut data: &[u8]) -> Result<(SocketType, Bytes), Refusal> {
    let mut socket = None;
    let mut identity = None;
    while !data.is_empty() {
        let (name, value, rest) = property(data).ok_or(Refusal::ReadyMalformed)?;
        data = rest;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            let known = SocketType::from_name(value).ok_or(Refusal::SocketMismatch)?;
            if socket.replace(known).is_some() {
                return Err(Refusal::ReadyMalformed);
            }
        } else if name.eq_ignore_ascii_case(b"Identity")
            && (value.len() > IDENTITY_MAX || identity.replace(Bytes::copy_from_slice(value)).is_some())
        {
            return Err(Refusal::ReadyMalformed);
        }
    }
    let socket = socket.ok_or(Refusal::ReadyMalformed)?;
    Ok((socket, identity.unwrap_or_default()))
}

fn property(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_.+".contains(b);
    if name.is_empty() || !name.iter().all(is_name) {
        return None;
    }
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*value_len)).ok()?)?;
    Some((name, value, rest))
}
