//! What operators type behind a function's name.

use brine_local::arguments::input::Inputs;
use brine_local::arguments::{Reading, calls, form, typed};
use serde_json::Value;

/// A function, and a word a line.
pub(super) fn arguments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Twice, it is no name of a file: a fuzzer opens none.
    let text = text.replace('@', "@@");
    let mut lines = text.split('\n').map(str::to_owned);
    let function = lines.next().unwrap_or_default();
    let words: Vec<String> = lines.collect();
    let _ = form::parse(&function);
    let unparsed = ["raw".to_owned()];
    for reading in [Reading::default(), Reading { unparsed: &unparsed, separator: "--" }] {
        // Its words alone are of interest: an error names the word, and that may be long.
        let _ = calls(&function, &words, &reading, &mut Inputs::of_process());
    }
}

/// One word, whose value survives being written as JSON.
pub(super) fn typed_word(bytes: &[u8]) {
    let Ok(word) = std::str::from_utf8(bytes) else { return };
    let value = typed(word);
    let json = serde_json::to_string(&value).expect("a value is JSON");
    let again = [format!("k:={json}")];
    match calls("a.b", &again, &Reading::default(), &mut Inputs::of_process()) {
        Ok(calls) => assert_eq!(calls[0].keywords.get("k"), Some(&value), "{word:?} as {json}"),
        Err(error) => panic!("{word:?} as {json}: {error}"),
    }
    if let Value::String(text) = &value
        && text == word
    {
        assert_eq!(typed(text), value);
    }
}
