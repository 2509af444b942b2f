//! Which bad networks can be had on this machine.

use std::process::Command;

/// Makes a namespace with a lossy loopback, and forgets it.
const TRIAL: &str = "ip link set lo up && tc qdisc add dev lo root netem loss 30% delay 500ms reorder 25%";

/// Says which way the suite goes, and why. The fault proxy needs nothing but loopback, so it is what every
/// machine runs; that it does to bytes what it says is tested beside it, and a machine where it cannot listen
/// fails here.
pub fn choose() -> String {
    let mut trial = Command::new("unshare");
    trial.args(["--net", "sh", "-c", TRIAL]);
    let netem = match trial.output() {
        Ok(output) if output.status.success() => {
            "available, not used: the same faults for everybody come from the proxy".to_owned()
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("not available ({})", said.lines().next().unwrap_or("no reason given").trim())
        }
        Err(error) => format!("not available (unshare: {error})"),
    };
    drop(brine_tests::faults::Faults::before(1, 0));
    format!("network: the fault proxy is used; netem: {netem}")
}
