//! Values as a minion bent on mischief would send them.

use proptest::prelude::*;
use serde_json::Value;

const NASTY: &str = "[ a-c:#'\"\\-\n\r\t\u{0}\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{200b}\u{202e}\u{2028}\u{feff}\u{e0041}é日0-9.{}\\[\\],&*!|>%@`?~+_=xe]{0,9}";

/// Any value that JSON has, with the characters that forms and terminals trip over.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        proptest::sample::select(vec![
            "",
            "yes",
            "null",
            "1e3",
            "0x1f",
            "12:30:45",
            "2020-01-01",
            "---",
            "<<",
            "- a",
            "k: v"
        ])
        .prop_map(Value::from),
        NASTY.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(NASTY, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
