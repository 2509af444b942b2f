//! Tickets: what an accepted minion shows the next time in place of a signature.
//!
//! A ticket is sealed by the master for itself: it says who was let in, under which decision, when that
//! minion signed last, and the secret that its session left. A session that began with a signature
//! vouches for its minion while it lives: its tickets count from when they are given. The master keeps
//! nothing of them but the keys ([`TicketKeys`]), newest first. A key seals for half of a ticket's age and
//! opens for one and a half; then it is gone, and nothing that it sealed opens again. **Invariants:** a
//! ticket opens nothing that was ever said, because both exchanges of a session are its own; no chain
//! of tickets is longer than the age of one; a clock that jumps costs a Hello, never lets anybody in.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key};
use base64ct::{Base64, Encoding};
use brine_protocol::{Fingerprint, MinionId};
use zeroize::Zeroizing;

use crate::wire::{Reader, Writer};

/// Larger tickets are none. One with the longest id has 378 bytes.
pub const TICKET_MAX: usize = 512;

const KEY_ID: usize = 16;
const NONCE: usize = 12;

/// The first word of a line of the key file.
const LINE: &str = "brine-ticket-key-1";

/// What a session leaves to the next: 32 bytes that only its two ends have.
#[derive(Clone)]
pub struct Resumption(Zeroizing<[u8; 32]>);

impl Resumption {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<Zeroizing<[u8; 32]>> for Resumption {
    fn from(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Resumption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resumption")
    }
}

/// What a ticket says.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Whose it is.
    pub id: MinionId,
    /// Its key.
    pub fingerprint: Fingerprint,
    /// The decision that accepted the key: another one makes the ticket worthless.
    pub generation: u64,
    /// When the minion signed last, or was last in the session that it signed for, in seconds of the master's
    /// wall clock.
    pub signed_s: u64,
    /// The secret of the session that the ticket came with.
    pub resumption: Resumption,
}

impl Granted {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::default();
        // No bytes of the secret are left behind in a vector that grew.
        writer.0.reserve_exact(TICKET_MAX);
        writer
            .short(self.id.as_str().as_bytes())
            .raw(&self.fingerprint.0)
            .u64(self.generation)
            .u64(self.signed_s)
            .raw(self.resumption.bytes());
        Zeroizing::new(writer.0)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let id = std::str::from_utf8(reader.short()?).ok()?.parse().ok()?;
        let granted = Self {
            id,
            fingerprint: Fingerprint(reader.array()?),
            generation: reader.u64()?,
            signed_s: reader.u64()?,
            resumption: Resumption(Zeroizing::new(reader.array()?)),
        };
        reader.is_empty().then_some(granted)
    }
}

/// A key that tickets are sealed under.
#[derive(Clone)]
struct TicketKey {
    id: [u8; KEY_ID],
    key: Zeroizing<[u8; 32]>,
    cipher: Aes256Gcm,
    made_s: u64,
}

impl TicketKey {
    fn new(id: [u8; KEY_ID], key: Zeroizing<[u8; 32]>, made_s: u64) -> Self {
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
        Self { id, key, cipher, made_s }
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next();
        let (LINE, made, id, key) = (word()?, word()?, word()?, word()?) else { return None };
        let mut key_bytes = Zeroizing::new([0; 32]);
        let mut id_bytes = [0; KEY_ID];
        let is_whole = Base64::decode(id, &mut id_bytes).ok()?.len() == KEY_ID
            && Base64::decode(key, &mut *key_bytes).ok()?.len() == 32
            && word().is_none();
        is_whole.then_some(Self::new(id_bytes, key_bytes, made.parse().ok()?))
    }

    /// Master and key are part of what is sealed: under another master's trust key nothing opens.
    fn associated(&self, trust_key: Fingerprint) -> Vec<u8> {
        [b"brine/1 ticket\0".as_slice(), &trust_key.0, &self.id].concat()
    }

    fn seal(&self, trust_key: Fingerprint, nonce: [u8; NONCE], granted: &Granted) -> Vec<u8> {
        let mut sealed = granted.to_bytes();
        self.cipher
            .encrypt_in_place(&nonce.into(), &self.associated(trust_key), &mut *sealed)
            .expect("a ticket is far below AES-GCM's 64 GiB");
        [&self.id[..], &nonce, &sealed].concat()
    }

    fn open(&self, trust_key: Fingerprint, nonce: [u8; NONCE], sealed: &[u8]) -> Option<Granted> {
        let mut opened = Zeroizing::new(sealed.to_vec());
        let associated = self.associated(trust_key);
        self.cipher.decrypt_in_place(&nonce.into(), &associated, &mut *opened).ok()?;
        Granted::from_bytes(&opened)
    }
}

/// The keys of tickets, newest first, and how old a ticket may be.
#[derive(Clone)]
pub struct TicketKeys {
    keys: Vec<TicketKey>,
    age_max_s: u64,
}

impl TicketKeys {
    /// No key yet: no ticket is given, none is taken.
    #[must_use]
    pub fn new(age_max_s: u64) -> Self {
        Self { keys: Vec::new(), age_max_s }
    }

    /// Reads the key file; none if a line of it is no key.
    #[must_use]
    pub fn from_text(text: &str, age_max_s: u64) -> Option<Self> {
        let keys = text.lines().map(TicketKey::from_line).collect::<Option<Vec<_>>>()?;
        Some(Self { keys, age_max_s })
    }

    /// The key file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.keys.len() * 128));
        for TicketKey { id, key, made_s, .. } in &self.keys {
            let key = Zeroizing::new(Base64::encode_string(&**key));
            for word in [LINE, " ", &made_s.to_string(), " ", &Base64::encode_string(id), " ", &key, "\n"] {
                text.push_str(word);
            }
        }
        text
    }

    /// Whether a new key is due.
    #[must_use]
    pub fn is_due(&self, now_s: u64) -> bool {
        let newest = self.keys.first().and_then(|key| now_s.checked_sub(key.made_s));
        newest.is_none_or(|age| age >= self.age_max_s / 2)
    }

    /// Seals under a new key from now on, and forgets those that opened for long enough.
    pub fn renew(&mut self, id: [u8; KEY_ID], key: Zeroizing<[u8; 32]>, now_s: u64) {
        let age_max_s = self.age_max_s;
        self.keys.retain(|key| is_within(key.made_s, now_s, age_max_s + age_max_s / 2));
        self.keys.insert(0, TicketKey::new(id, key, now_s));
    }

    /// Seals a ticket; none without a key. The nonce has to be fresh and random.
    #[must_use]
    pub fn seal(&self, trust_key: Fingerprint, nonce: [u8; NONCE], granted: &Granted) -> Option<Vec<u8>> {
        Some(self.keys.first()?.seal(trust_key, nonce, granted))
    }

    /// Opens a ticket that is not older, nor from a later time, than it may be.
    #[must_use]
    pub fn open(&self, trust_key: Fingerprint, ticket: &[u8], now_s: u64) -> Option<Granted> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let mut reader = Reader(ticket);
        let (id, nonce) = (reader.array::<KEY_ID>()?, reader.array::<NONCE>()?);
        let key = self.keys.iter().find(|key| key.id == id)?;
        if !is_within(key.made_s, now_s, self.age_max_s + self.age_max_s / 2) {
            return None;
        }
        let granted = key.open(trust_key, nonce, reader.0)?;
        is_within(granted.signed_s, now_s, self.age_max_s).then_some(granted)
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketKeys({} keys)", self.keys.len())
    }
}

/// Whether `then` is past, and less than `age_s` ago.
fn is_within(then: u64, now_s: u64, age_s: u64) -> bool {
    now_s.checked_sub(then).is_some_and(|age| age < age_s)
}

#[cfg(test)]
mod tests;
