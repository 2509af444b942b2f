//! Bringing the machine down, by the program that does it.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::super::tool::{Done, Tool, find};
use super::super::{Context, Fault};

/// How long the program may take that only arranges for something.
const ARRANGES: Duration = Duration::from_secs(60);

/// What is to happen to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Reboot,
    Shutdown,
    Halt,
    Poweroff,
}

impl Deed {
    fn option(self) -> &'static str {
        match self {
            Deed::Reboot => "-r",
            Deed::Shutdown => "-h",
            Deed::Halt => "-H",
            Deed::Poweroff => "-P",
        }
    }
}

/// When it is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Now,
    /// In so many minutes.
    In(u32),
    /// The next time a clock shows this.
    At(u8, u8),
}

/// The longest that can be waited for: a week, in minutes.
const MINUTES_MAX: u32 = 7 * 24 * 60;

impl When {
    pub(super) fn read(written: Option<String>) -> Result<Self, Fault> {
        let Some(written) = written else { return Ok(When::Now) };
        Self::parse(&written).ok_or_else(|| {
            let why = "'at_time' needs minutes from 0 to 10080, a time of day as 22:30, or now";
            Fault::Invocation(format!("{why}, not {written:?}"))
        })
    }

    fn parse(written: &str) -> Option<Self> {
        if written == "now" {
            return Some(When::Now);
        }
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((hour, minute)) = written.split_once(':') {
            let time = (hour.parse().ok()?, minute.parse().ok()?);
            let is_time = is_number(hour) && is_number(minute) && time.0 < 24 && time.1 < 60;
            return is_time.then_some(When::At(time.0, time.1));
        }
        let minutes = written.strip_prefix('+').unwrap_or(written);
        let minutes = minutes.parse().ok().filter(|_| is_number(minutes))?;
        match minutes {
            0 => Some(When::Now),
            1..=MINUTES_MAX => Some(When::In(minutes)),
            _ => None,
        }
    }

    fn argument(self) -> String {
        match self {
            When::Now => "now".to_owned(),
            When::In(minutes) => format!("+{minutes}"),
            When::At(hour, minute) => format!("{hour:02}:{minute:02}"),
        }
    }

    /// How far away it is at most.
    fn ahead(self) -> Duration {
        match self {
            When::Now => Duration::ZERO,
            When::In(minutes) => Duration::from_secs(u64::from(minutes) * 60),
            When::At(..) => Duration::from_secs(24 * 3600),
        }
    }
}

/// Reboots, and comes back only with an error: what ends the job well is the next boot. A local
/// call has nobody to tell then, so it says what the program said.
pub(super) async fn reboot(context: &Context, when: When, goes_down: Duration) -> Result<String, Fault> {
    let end = Instant::now() + when.ahead() + goes_down;
    // Where another init than systemd runs, the program itself waits for the time.
    let done = rebooter(context, when).timeout(when.ahead() + goes_down).run(context).await?;
    if done.retcode.is_some() {
        let said = said(&done)?;
        if context.job.is_none() {
            return Ok(said);
        }
        tokio::time::sleep_until(end).await;
    }
    let limit = goes_down.as_secs();
    Err(Fault::Execution(format!("the machine did not reboot: it is still up {limit} s after it was to go")))
}

fn rebooter(context: &Context, when: When) -> Tool {
    let has = |program: &str| find(program, &context.path).is_some();
    if when == When::Now && !has("shutdown") && has("systemctl") {
        return Tool::new("systemctl", ["--no-ask-password", "--no-wall", "reboot"]);
    }
    Tool::new("shutdown", [Deed::Reboot.option(), &when.argument()])
}

/// Arranges for the machine to go down, and gives what the program says to that.
pub(super) async fn go(context: &Context, deed: Deed, when: When) -> Result<String, Fault> {
    // What a manager of services leaves behind, and nobody else.
    let has_scheduler = Path::new("/run/systemd/system").is_dir();
    said(&goer(context, deed, when, has_scheduler).timeout(ARRANGES).run(context).await?)
}

/// The program that arranges for it. Without a scheduler it waits for the time itself, and then it
/// has to outlive the job.
fn goer(context: &Context, deed: Deed, when: When, has_scheduler: bool) -> Tool {
    let arguments = [deed.option().to_owned(), when.argument()];
    if has_scheduler || when == When::Now || find("shutdown", &context.path).is_none() {
        return Tool::new("shutdown", arguments);
    }
    let behind = ["--fork", "shutdown"].map(str::to_owned);
    Tool::new("setsid", behind.into_iter().chain(arguments)).on_its_own()
}

fn said(done: &Done) -> Result<String, Fault> {
    match done.retcode {
        Some(0) => Ok(done.complaint().to_owned()),
        Some(code) => Err(Fault::Execution(format!("shutdown ended with {code}: {}", done.complaint()))),
        None => Err(Fault::Execution("shutdown was killed: it did not answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::context;
    use super::super::super::testing::fakes::Fakes;
    use super::*;

    #[test]
    fn times() {
        for (written, expected) in [
            ("now", Some(When::Now)),
            ("0", Some(When::Now)),
            ("5", Some(When::In(5))),
            ("+5", Some(When::In(5))),
            ("10080", Some(When::In(10080))),
            ("22:30", Some(When::At(22, 30))),
            ("7:05", Some(When::At(7, 5))),
            ("10081", None),
            ("-5", None),
            ("++5", None),
            ("24:00", None),
            ("12:60", None),
            ("+1:00", None),
            ("", None),
            ("soon", None),
            ("--help", None),
            ("4294967297", None),
        ] {
            assert_eq!(When::parse(written), expected, "{written}");
        }
        assert_eq!(When::read(None), Ok(When::Now));
        let arguments = [When::Now, When::In(5), When::At(7, 5)].map(When::argument);
        assert_eq!(arguments, ["now", "+5", "07:05"]);
    }

    #[test]
    fn a_program_that_waits_itself_outlives_the_job() {
        let mut programs = Fakes::new();
        programs.answer("shutdown", "", &[(0, "", "")]);
        let context = programs.context(context());
        let shown = |when, has_scheduler| format!("{:?}", goer(&context, Deed::Halt, when, has_scheduler));
        assert!(shown(When::In(1), true).contains("\"shutdown\", arguments: [\"-H\", \"+1\"]"));
        assert!(shown(When::Now, false).contains("\"shutdown\", arguments: [\"-H\", \"now\"]"));
        let behind = "\"setsid\", arguments: [\"--fork\", \"shutdown\", \"-H\", \"+1\"]";
        assert!(shown(When::In(1), false).contains(behind), "{}", shown(When::In(1), false));
    }
}
