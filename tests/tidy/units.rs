//! The service files.

use std::fs;

use crate::root;

/// The script carries the file itself, because it comes to machines alone.
#[test]
fn brine_connect_writes_the_service_of_the_minion() {
    let unit = fs::read_to_string(root().join("minion/brine-minion.service")).expect("the file is there");
    let script = fs::read_to_string(root().join("keytool/brine-connect.sh")).expect("the script is there");
    let begin = "    cat <<UNIT\n";
    let at = script.find(begin).expect("the script writes a service") + begin.len();
    let written = script[at..].split("\nUNIT\n").next().expect("a text with an end");
    let written = written.replace("$runs", "/usr/bin/brine-minion").replace("\\$", "$");
    assert_eq!(
        format!("{written}\n"),
        unit,
        "minion/brine-minion.service and keytool/brine-connect.sh differ"
    );
}
