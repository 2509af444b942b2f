//! One connection through the proxy, from its greeting to its end.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::weather::Line;
use super::{Fault, Side, Weather, tune};

type Told = watch::Receiver<Fault>;

impl Fault {
    fn on_way_to(self, side: Side) -> Weather {
        match (self, side) {
            (Self::Weather { to_server, .. }, Side::Server) => to_server,
            (Self::Weather { to_client, .. }, Side::Client) => to_client,
            (Self::Reset | Self::Gone(_), _) => Weather::Stall,
        }
    }

    fn is_weather(&self) -> bool {
        matches!(self, Self::Weather { .. })
    }
}

/// Passes a connection on until it has ended for the side, or sides, that may know.
pub(super) async fn connection(mut client: TcpStream, target: SocketAddr, mut told: Told, seed: u64) {
    let first = *told.borrow_and_update();
    if first == Fault::both(Weather::Black) {
        // Its SYN was answered by somebody who knows no way on: nothing that is mended later helps it.
        if struck(&mut told).await == Fault::Reset {
            reset(&client);
        }
        return;
    }
    // Kept back, as a SYN would be, and sent on when the way is free.
    let is_under_way = |fault: &Fault| *fault != Fault::both(Weather::Stall);
    let Ok(now) = told.wait_for(is_under_way).await.map(|fault| *fault) else { return };
    let server = if now.is_weather() { TcpStream::connect(target).await.ok() } else { None };
    let Some(mut server) = server else { return reset(&client) };
    tune(&server);
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, Side::Server, told.clone(), seed);
        let down = pump(from_server, to_client, Side::Client, told.clone(), !seed);
        tokio::select! {
            () = up => None,
            () = down => None,
            fault = struck(&mut told) => Some(fault),
        }
    };
    match end {
        Some(Fault::Reset) => {
            reset(&client);
            reset(&server);
        }
        Some(Fault::Gone(Side::Client)) => {
            reset(&client);
            drop(client);
            swallow(server).await;
        }
        Some(Fault::Gone(Side::Server)) => {
            reset(&server);
            drop(server);
            swallow(client).await;
        }
        Some(Fault::Weather { .. }) | None => {}
    }
}

/// Waits for what ends a connection, or for ever.
async fn struck(told: &mut Told) -> Fault {
    let fault = told.wait_for(|fault| !fault.is_weather()).await.ok().map(|fault| *fault);
    match fault {
        Some(fault) => fault,
        None => std::future::pending().await,
    }
}

/// Whoever drops the stream now sends a RST.
fn reset(stream: &TcpStream) {
    // A peer that has gone already is as good as reset.
    let _ = stream.set_zero_linger();
}

async fn swallow(mut stream: TcpStream) {
    let mut sink = [0; 4096];
    while let Ok(1..) = stream.read(&mut sink).await {}
}

/// Passes one direction on. It returns when the end of it was passed on as well.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Side, mut told: Told, seed: u64) {
    let (mut line, mut buffer) = (Line::new(seed), vec![0; 16 * 1024]);
    let (mut is_over, mut is_black) = (false, false);
    let mut before = Weather::Clear;
    loop {
        let now = Instant::now();
        let weather = if is_black { Weather::Black } else { told.borrow_and_update().on_way_to(way) };
        if weather != before {
            is_black |= line.turn(weather, now);
            before = weather;
        }
        if is_over && !is_black && line.is_empty() && !matches!(weather, Weather::Stall | Weather::Black) {
            return;
        }
        let gulp = line.gulp(weather, now).min(if is_over { 0 } else { buffer.len() });
        let ready = line.ready(weather, now);
        let due = line.due(weather).filter(|due| *due > now);
        tokio::select! {
            // What was said about the weather holds for all bytes that come after it.
            biased;
            changed = told.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            read = from.read(&mut buffer[..gulp]), if gulp > 0 => match read {
                Ok(count @ 1..) if weather != Weather::Black => line.push(&buffer[..count], weather, now),
                Ok(1..) => is_black = true,
                Ok(0) | Err(_) => {
                    is_over = true;
                    is_black |= weather == Weather::Black;
                }
            },
            written = write(&mut to, ready.as_deref()), if ready.is_some() => match written {
                Ok(count) => line.wrote(count),
                Err(_) => return,
            },
            () = sleep_until(due.unwrap_or(now).into()), if due.is_some() => {}
        }
    }
}

async fn write(to: &mut WriteHalf<'_>, bytes: Option<&[u8]>) -> std::io::Result<usize> {
    to.write(bytes.unwrap_or_default()).await
}
