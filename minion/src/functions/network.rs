//! `network.*`: interfaces, addresses and connections.
//!
//! What the kernel tells is read from the kernel; only `ping` and `dig` run programs, and the host
//! they are given is checked first, so that it is never an option of theirs.

mod addresses;
mod reach;
mod routes;
mod sockets;

use super::bind::Bound;
use super::{Fault, Function, Outcome, Parameter, optional, required};

pub(super) fn functions() -> Vec<Function> {
    [about_interfaces(), about_connections()].concat()
}

/// The parameters of `ip_addrs` and `ip_addrs6`.
const ADDRESSES: &[Parameter] = &[
    optional("interface", "null", "only addresses of this interface (text)"),
    optional("include_loopback", "false", "whether addresses of this machine alone count, too (boolean)"),
    optional("cidr", "null", "only addresses in this network, as 10.0.0.0/8 (text)"),
    optional("type", "null", "only those that are 'public' or 'private' (text)"),
];

const INTERFACE: &[Parameter] = &[required("iface", "the interface's name (text)")];

fn about_interfaces() -> Vec<Function> {
    vec![
        Function::new(
            "network.interfaces",
            |_, _| Box::pin(addresses::interfaces()),
            "Returns all network interfaces with their addresses.",
        )
        .returns(
            "{interface: {up: boolean, hwaddr: text, parent: text, inet: [{address, netmask, broadcast, label}], \
             inet6: [{address, prefixlen, scope}], secondary: [{type, address, netmask, broadcast, label}]}}; \
             what an interface has not is left out, and a broadcast address that is not there is null",
        ),
        Function::new(
            "network.interface",
            |_, bound| Box::pin(addresses::interface(bound)),
            "Returns the IPv4 addresses of an interface.",
        )
        .takes(INTERFACE)
        .returns("[{address, netmask, broadcast, label}]; an error that names the interfaces there are when this is none")
        .example("network.interface eth0"),
        Function::new(
            "network.interface_ip",
            |_, bound| Box::pin(addresses::interface_ip(bound)),
            "Returns the first IPv4 address of an interface.",
        )
        .takes(INTERFACE)
        .returns("text, empty when it has none; an error that names the interfaces there are when this is none")
        .example("network.interface_ip eth0"),
        Function::new(
            "network.ip_addrs",
            |_, bound| Box::pin(addresses::ip_addrs(bound, false)),
            "Returns the IPv4 addresses of this machine.",
        )
        .takes(ADDRESSES)
        .returns("[text], sorted by number; empty when no interface is called so; an error when `cidr` is no network")
        .example("network.ip_addrs cidr=10.0.0.0/8"),
        Function::new(
            "network.ip_addrs6",
            |_, bound| Box::pin(addresses::ip_addrs(bound, true)),
            "Returns the IPv6 addresses of this machine.",
        )
        .takes(ADDRESSES)
        .returns("[text], sorted by number; empty when no interface is called so; an error when `cidr` is no network")
        .example("network.ip_addrs6 interface=eth0"),
        Function::new(
            "network.hw_addr",
            |_, bound| Box::pin(addresses::hw_addr(bound)),
            "Returns the hardware address (MAC) of an interface.",
        )
        .takes(INTERFACE)
        .returns("text, empty when it has none; an error that names the interfaces there are when this is none")
        .example("network.hw_addr eth0"),
        Function::new(
            "network.get_hostname",
            |_, _| Box::pin(get_hostname()),
            "Returns the host name of this machine as the kernel knows it.",
        )
        .returns("text"),
    ]
}

const FAMILY: &[Parameter] =
    &[optional("family", "null", "only 'inet' or only 'inet6'; both when null (text)")];

fn about_connections() -> Vec<Function> {
    vec![
        Function::new(
            "network.ping",
            |context, bound| Box::pin(reach::ping(context, bound)),
            "Pings a host until four pings are answered or time is up. Needs the program ping.",
        )
        .takes(
            const {
                &[
                    required("host", "a host name or address (text)"),
                    optional("timeout", "false", "how long an answer may take, 5 when False (seconds)"),
                    optional("return_boolean", "false", "whether to tell only if there was an answer (boolean)"),
                ]
            },
        )
        .returns("what ping says (text), or a boolean; the retcode is that of ping. It never takes longer than \
                  `timeout` and 10 seconds. An error when `host` is no name or address, or ping is not installed")
        .example("network.ping example.org return_boolean=True"),
        Function::new(
            "network.dig",
            |context, bound| Box::pin(reach::dig(context, bound)),
            "Asks the name servers about a name. Needs the program dig.",
        )
        .takes(const { &[required("host", "a host name or address (text)")] })
        .returns("what dig says (text); the retcode is that of dig. It never takes longer than 20 seconds. An error when \
                  `host` is no name or address, or dig is not installed")
        .example("network.dig example.org"),
        Function::new(
            "network.connect",
            |_, bound| Box::pin(reach::connect(bound)),
            "Tries whether a TCP connection can be opened, and closes it at once.",
        )
        .takes(
            const {
                &[
                    required("host", "a host name or address (text)"),
                    required("port", "the port (integer)"),
                    optional("timeout", "10", "how long it may take (seconds)"),
                ]
            },
        )
        .returns("{result: boolean, comment: text}; the comment says why not")
        .example("network.connect example.org 443 timeout=3"),
        Function::new(
            "network.netstat",
            |context, _| Box::pin(sockets::netstat(context)),
            "Returns the TCP and UDP sockets of this machine.",
        )
        .returns("[{proto, recv-q, send-q, local-address, remote-address, state, user, inode, program}], all texts; \
                  queues are in bytes, UDP has no state, the user is a number, and the program is `pid/name`, or `-` when \
                  the minion may not know it. More sockets than fit into a return are left out, and it is marked truncated"),
        Function::new(
            "network.active_tcp",
            |context, _| Box::pin(sockets::active_tcp(context)),
            "Returns the established TCP connections of this machine.",
        )
        .returns("{number: {local_addr: text, local_port: text, remote_addr: text, remote_port: text}}; more than fit into \
                  a return are left out, and it is marked truncated"),
        Function::new(
            "network.routes",
            |context, bound| Box::pin(routes::routes(context, bound, false)),
            "Returns the routes of this machine's main table.",
        )
        .takes(FAMILY)
        .returns("[{addr_family, destination, gateway, netmask, flags, interface}], all texts; flags are U (up), \
                  G (gateway), H (host), D and M (by redirect), A (by router advertisement), ! (reject)")
        .example("network.routes inet"),
        Function::new(
            "network.default_route",
            |context, bound| Box::pin(routes::routes(context, bound, true)),
            "Returns the default routes of this machine.",
        )
        .takes(FAMILY)
        .returns("as network.routes")
        .example("network.default_route inet"),
    ]
}

async fn get_hostname() -> Result<Outcome, Fault> {
    let name = nix::unistd::gethostname().map_err(|error| {
        Fault::Execution(format!("the kernel does not tell the host name: {}", error.desc()))
    })?;
    Ok(Outcome::from(name.to_string_lossy().into_owned()))
}

/// Takes a parameter that names a host: letters, digits, and what addresses and names are made of,
/// never an option.
fn take_host(bound: &mut Bound) -> Result<String, Fault> {
    let host = bound.text("host")?;
    let is_fine = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    if host.is_empty() || host.len() > 253 || host.starts_with(['-', '%']) || !host.chars().all(is_fine) {
        return Err(Fault::Invocation(format!("'host' needs a host name or an address, not {host:?}")));
    }
    Ok(host)
}

#[cfg(test)]
mod tests;
