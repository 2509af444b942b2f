//! brine-minion, the agent: dials its master, runs what it is ordered to, and never loses a
//! return.
//!
//! [`engine`] decides, [`driver`] does; [`net`] and [`relay`] hold the connections, [`journal`]
//! what must survive. **Invariant:** a byte from the network reaches the `zeromq` crate only
//! after [`relay`] has checked it, and an order reaches a function only after it is on disk.

pub mod adopt;
pub mod backoff;
pub mod book;
pub mod boot;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod detached;
pub mod doctor;
pub mod driver;
pub mod engine;
pub mod enrolment;
pub mod functions;
pub mod grains;
pub mod host_id;
pub mod identity;
pub mod interfaces;
pub mod journal;
pub mod leftovers;
pub mod link;
pub mod net;
pub mod pillar;
pub mod probe;
pub mod processes;
pub mod relay;
pub mod reload;
pub mod rotation;
pub mod running;
pub mod session;
pub mod sync;
pub mod tell;
pub mod ticket;
pub mod trust;
