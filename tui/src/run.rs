//! The loop: waits for whatever comes first, lets the state take it in, does what that asks for,
//! and draws when something changed.

use std::io;
use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, Exit, check_socket_path};
use brine_local::clock::wall;
use brine_local::output::wants_colours;
use nix::sys::signal::Signal;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::terminal;
use ratatui::layout::Size;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use crate::app::{App, Effect, Input, News};
use crate::link::{self, Order};
use crate::options::Options;
use crate::terminal::{Screen, abandon, no_terminal, read_input};
use crate::view::Theme;

/// Between two frames: what changes faster than 30 times a second nobody reads.
const FRAME: Duration = Duration::from_millis(33);

/// The same after a key stroke: what somebody does shows at once, and a wheel that spins still does
/// not draw a thousand frames.
const ANSWER: Duration = Duration::from_millis(10);

/// News that wait to be taken in. Beyond that the link waits, and what it misses meanwhile it
/// fetches as a whole.
const NEWS_MAX: usize = 64;

/// Why it ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    Terminal(&'static str),
    Client(ClientError),
    System(io::Error),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Terminal(_) => Exit::Usage,
            Failure::Client(error) => Exit::from(error),
            Failure::System(_) => Exit::Failed,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Terminal(why) => f.write_str(why),
            Failure::Client(error) => error.fmt(f),
            Failure::System(error) => write!(f, "the terminal cannot be used: {error}"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::System(error)
    }
}

/// How the loop ended: the number for the shell.
type Code = u8;

/// Runs the screen until somebody quits.
///
/// # Errors
/// There is no terminal, or no master at the first contact.
pub(crate) async fn run(options: &Options) -> Result<Code, Failure> {
    if let Some(why) = no_terminal() {
        return Err(Failure::Terminal(why));
    }
    let socket = options.paths().control_socket();
    check_socket_path(&socket)?;
    let client = Client::new(&socket).acting_as(options.act_as.clone());
    let (events, contact) = link::contact(&client).await?;
    let theme = Theme::new(wants_colours(options.no_color, false));
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.unwrap_or_else(|| "this host's address".to_owned());

    let mut ending = endings()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut stopped = signal(SignalKind::from_raw(Signal::SIGTSTP as i32))?;
    let mut continued = signal(SignalKind::from_raw(Signal::SIGCONT as i32))?;
    let (columns, rows) = terminal::size()?;
    let size = Size::new(columns, rows);
    let mut screen = Screen::open(size)?;
    let mut input = read_input();
    let (sender, mut news) = mpsc::channel::<News>(NEWS_MAX);
    let (orders, taken) = mpsc::unbounded_channel();
    tokio::spawn(link::follow(client, events, sender, taken));
    let mut app = App::new(contact, host, size, wall());
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);

    let mut is_stale = true;
    let mut last_frame = Instant::now();
    let mut next_frame = last_frame;
    loop {
        let came = tokio::select! {
            biased;
            Some(code) = ending.recv() => return Ok(code),
            _ = continued.recv() => {
                screen.resume()?;
                Some(resize()?)
            }
            _ = stopped.recv() => {
                screen.suspend()?;
                Some(resize()?)
            }
            () = sleep_until(next_frame.into()), if is_stale => {
                screen.draw(&app, theme)?;
                last_frame = Instant::now();
                next_frame = last_frame + FRAME;
                is_stale = false;
                continue;
            }
            event = input.recv() => match event {
                Some(event) => typed(event?),
                None => return Err(io::Error::other("nothing can be read from it").into()),
            },
            _ = resized.recv() => Some(resize()?),
            _ = tick.tick() => Some(Input::Tick(wall())),
            Some(news) = news.recv() => Some(Input::News(news)),
        };
        let Some(came) = came else { continue };
        is_stale = true;
        if !matches!(came, Input::News(_) | Input::Tick(_)) {
            next_frame = next_frame.min(last_frame + ANSWER);
        }
        app.pass_time(wall());
        for effect in app.update(came) {
            let order = match effect {
                Effect::Quit => return Ok(Exit::Ok.code()),
                Effect::Redraw => {
                    screen.clear()?;
                    continue;
                }
                Effect::Background => {
                    screen.suspend()?;
                    app.update(resize()?);
                    continue;
                }
                Effect::Act { steps, reason } => Order::Act { steps, reason },
                Effect::Pair { server, request } => Order::Pair { server, request },
                Effect::Records(also) => Order::Records(also),
                Effect::NoRecords => Order::NoRecords,
                Effect::History(id) => Order::History(id),
                Effect::Refetch(id) => Order::Refetch(id),
            };
            orders.send(order).map_err(|_| io::Error::other("the link to the master ended"))?;
        }
    }
}

/// What the terminal reports, as far as it means anything here.
fn typed(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) => Some(Input::Key(key)),
        Event::Mouse(mouse) => Some(Input::Mouse(mouse)),
        Event::Paste(text) => Some(Input::Paste(text)),
        // The signal that says so was heard too, and one of them is enough.
        Event::Resize(..) | Event::FocusGained | Event::FocusLost => None,
    }
}

/// How large the terminal is now.
fn resize() -> io::Result<Input> {
    let (columns, rows) = terminal::size()?;
    Ok(Input::Resize(Size::new(columns, rows)))
}

/// How long the loop may take to end after a signal said so. A terminal that takes no bytes holds
/// it for ever.
const ENDING: Duration = Duration::from_secs(2);

/// Waits for a signal that ends the program, and tells the number for the shell, which is 128 and
/// the signal's. A loop that does not end then is ended.
fn endings() -> io::Result<mpsc::Receiver<Code>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let code: Code = tokio::select! {
            _ = terminate.recv() => 128 + 15,
            _ = hang_up.recv() => 128 + 1,
            _ = interrupt.recv() => 128 + 2,
            _ = quit.recv() => 128 + 3,
        };
        // Full or closed, it is ending already.
        let _ = sender.try_send(code);
        sleep(ENDING).await;
        abandon();
        std::process::exit(code.into());
    });
    Ok(receiver)
}
