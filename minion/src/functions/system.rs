//! `system.*`: the machine as a whole: down, up again, and its time.
//!
//! An order to reboot does not end while the machine is up. The journal has the id of the boot it
//! was taken in, and the minion of the next boot reports `{"rebooted": true}`; the engine decides
//! that. What brings the machine down for good returns first, and the system does it a minute
//! later, so that the return is stored by then.

mod clock;
mod down;

use std::time::Duration;

use self::clock::Shape;
use self::down::{Deed, When};
use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, Parameter, optional};

/// How long a machine may take to be gone after it was told to reboot: services stop slowly.
const GOES_DOWN: Duration = Duration::from_secs(600);

pub(super) fn functions() -> Vec<Function> {
    [about_down(), about_time()].concat()
}

const AT_ONCE: &[Parameter] = &[optional(
    "at_time",
    "null",
    "in how many minutes, or at what time of day as 22:30; now when null (integer or text)",
)];

const AFTER_A_MINUTE: &[Parameter] = &[optional(
    "at_time",
    "1",
    "in how many minutes, at what time of day as 22:30, or now, and then the return may come only when the machine is \
     back (integer or text)",
)];

fn about_down() -> Vec<Function> {
    macro_rules! down {
        ($name:literal, $deed:ident, $summary:literal) => {
            Function::new($name, |context, bound| Box::pin(go_down(context, bound, Deed::$deed)), $summary)
                .takes(AFTER_A_MINUTE)
                .returns(
                    "what the program shutdown says (text); an error when it refuses or is not installed. `shutdown -c` \
                     on the machine calls it off",
                )
                .example(concat!($name, " at_time=5"))
        };
    }
    vec![
        Function::new(
            "system.reboot",
            |context, bound| Box::pin(reboot(context, bound)),
            "Reboots the machine, and returns when it is up again.",
        )
        .takes(AT_ONCE)
        .returns(
            "{rebooted: true} once the minion runs in another boot of the machine. The job goes on until then; a minion \
             that comes back in the same boot reports `interrupted`. An error when the program shutdown (or systemctl) \
             refuses or is not installed, or when the machine is still up ten minutes after it was to go. Ending the \
             job does not call the reboot off: `shutdown -c` on the machine does. With `brine-minion call` it returns \
             what the program says (text) and does not wait",
        )
        .example("system.reboot at_time=5"),
        down!("system.shutdown", Shutdown, "Shuts the machine down, a minute from now."),
        down!("system.halt", Halt, "Halts the machine without switching it off, a minute from now."),
        down!("system.poweroff", Poweroff, "Shuts the machine down and switches it off, a minute from now."),
    ]
}

const OFFSET: &[Parameter] = &[optional(
    "utc_offset",
    "null",
    "how far from UTC, as '+0200' in quotes; the machine's time zone when null (text)",
)];

fn about_time() -> Vec<Function> {
    macro_rules! time {
        ($name:literal, $shape:ident, $summary:literal, $returns:literal) => {
            Function::new($name, |_, bound| Box::pin(clock::tell(bound, Shape::$shape)), $summary)
                .takes(OFFSET)
                .returns($returns)
        };
    }
    vec![
        time!(
            "system.get_system_date_time",
            DateTime,
            "Returns the machine's date and time.",
            "text, as 2026-11-22 16:04:05; an error when `utc_offset` is none"
        ),
        time!(
            "system.get_system_date",
            Date,
            "Returns the machine's date.",
            "text, as Sun 11/22/2026; an error when `utc_offset` is none"
        ),
        time!(
            "system.get_system_time",
            Time,
            "Returns the machine's time of day.",
            "text, as 04:04:05 PM; an error when `utc_offset` is none"
        ),
    ]
}

async fn reboot(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let when = When::read(bound.maybe_text("at_time")?)?;
    down::reboot(&context, when, GOES_DOWN).await.map(Outcome::from)
}

async fn go_down(context: Context, mut bound: Bound, deed: Deed) -> Result<Outcome, Fault> {
    let when = When::read(bound.maybe_text("at_time")?)?;
    down::go(&context, deed, when).await.map(Outcome::from)
}

#[cfg(test)]
mod tests;
