use std::net::{TcpListener, TcpStream, UdpSocket};

use serde_json::{Value, json};

use super::super::Context;
use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};

async fn value(function: &str, arguments: Value, keywords: Value) -> Value {
    // A busy machine has many sockets, and those of this test are the last of their kinds.
    let roomy = Context { output_max: 64 * 1024 * 1024, ..context() };
    let result = returned(&[call(function, arguments, keywords)], &roomy).await;
    assert_eq!(result.retcode, 0, "{function}: {}", result.value);
    assert_shape(function, &result.value);
    result.value
}

#[tokio::test]
async fn interfaces_of_this_machine() {
    let interfaces = value("network.interfaces", json!([]), json!({})).await;
    let lo = &interfaces["lo"];
    let home = json!({"address": "127.0.0.1", "netmask": "255.0.0.0", "broadcast": null, "label": "lo"});
    assert_eq!(
        (&lo["up"], &lo["hwaddr"], &lo["inet"][0]),
        (&json!(true), &json!("00:00:00:00:00:00"), &home)
    );
    let listed = std::fs::read_dir("/sys/class/net").unwrap().count();
    assert!(interfaces.as_object().unwrap().len() <= listed, "{interfaces}");

    assert_eq!(value("network.interface", json!(["lo"]), json!({})).await, json!([home]));
    assert_eq!(value("network.interface_ip", json!(["lo"]), json!({})).await, "127.0.0.1");
    assert_eq!(value("network.hw_addr", json!(["lo"]), json!({})).await, "00:00:00:00:00:00");
    let with = json!({"include_loopback": true, "interface": "lo"});
    assert_eq!(value("network.ip_addrs", json!([]), with.clone()).await[0], "127.0.0.1");
    assert_eq!(value("network.ip_addrs", json!(["lo"]), json!({})).await, json!([]));
    for address in value("network.ip_addrs6", json!([]), with).await.as_array().unwrap() {
        assert_eq!(address, "::1");
    }
    let none = returned(&[call("network.hw_addr", json!(["nosuch0"]), json!({}))], &context()).await;
    assert!(
        none.value
            .as_str()
            .unwrap()
            .starts_with("ERROR: Interface \"nosuch0\" not in available interfaces: ")
    );
    assert_eq!(none.retcode, 1);
}

#[tokio::test]
async fn the_host_has_its_name() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(value("network.get_hostname", json!([]), json!({})).await, kernel.trim());
}

#[tokio::test]
async fn sockets_and_their_programs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (_served, _) = listener.accept().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ours = [
        (format!("127.0.0.1:{port}"), "0.0.0.0:*".to_owned()),
        (client.local_addr().unwrap().to_string(), format!("127.0.0.1:{port}")),
        (udp.local_addr().unwrap().to_string(), "0.0.0.0:*".to_owned()),
    ];
    // The kernel's list is no picture of one moment: while many others come and go it leaves some out.
    let mut found = Vec::new();
    for _ in 0..50 {
        let all = value("network.netstat", json!([]), json!({})).await;
        let find = |(local, remote): &(String, String)| {
            let mut all = all.as_array().unwrap().iter();
            all.find(|s| s["local-address"] == **local && s["remote-address"] == **remote).cloned()
        };
        found = ours.iter().filter_map(find).collect();
        if found.len() == ours.len() {
            break;
        }
    }
    let [listening, open, datagrams] = <[Value; 3]>::try_from(found).expect("the three sockets");
    assert_eq!((&listening["proto"], &listening["state"]), (&json!("tcp"), &json!("LISTEN")));
    assert_eq!(listening["user"], nix::unistd::geteuid().to_string());
    let program = listening["program"].as_str().unwrap();
    assert!(program.starts_with(&format!("{}/", std::process::id())), "{program}");
    assert_eq!(open["state"], "ESTABLISHED");
    assert_eq!((&datagrams["proto"], datagrams.get("state")), (&json!("udp"), None));

    let active = value("network.active_tcp", json!([]), json!({})).await;
    let client_port = client.local_addr().unwrap().port().to_string();
    let ours = active.as_object().unwrap().values().find(|entry| entry["local_port"] == client_port).unwrap();
    assert_eq!(ours["remote_port"], port.to_string());
    assert!(active["1"].is_object());

    let small = Context { output_max: 300, ..context() };
    let cut = returned(&[call("network.netstat", json!([]), json!({}))], &small).await;
    assert!(cut.truncated && cut.value.as_array().unwrap().len() == 1, "{}", cut.value);
}

#[tokio::test]
async fn routes_are_those_of_the_kernel() {
    let all = value("network.routes", json!([]), json!({})).await;
    let lines = std::fs::read_to_string("/proc/net/route").unwrap().lines().skip(1).count();
    let of =
        |family: &str| all.as_array().unwrap().iter().filter(|route| route["addr_family"] == family).count();
    assert_eq!(of("inet"), lines);
    let default = value("network.default_route", json!(["inet"]), json!({})).await;
    for route in default.as_array().unwrap() {
        assert_eq!(route["destination"], "0.0.0.0");
    }
    let bad = returned(&[call("network.routes", json!(["ipx"]), json!({}))], &context()).await;
    assert_eq!(bad.value, "ERROR executing 'network.routes': 'family' is either 'inet' or 'inet6'");
}

#[tokio::test]
async fn ports_answer_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = value("network.connect", json!(["127.0.0.1", port]), json!({})).await;
    let comment = format!("Successfully connected to 127.0.0.1 (127.0.0.1) on tcp port {port}");
    assert_eq!(open, json!({"result": true, "comment": comment}));
    drop(listener);
    let closed = value("network.connect", json!(["127.0.0.1", port]), json!({"timeout": 5})).await;
    assert_eq!(closed["result"], false);
    assert!(closed["comment"].as_str().unwrap().contains("Connection refused"), "{closed}");
    for port in [json!(0), json!(65536), json!("http")] {
        assert_eq!(
            returned(&[call("network.connect", json!(["h", port]), json!({}))], &context()).await.retcode,
            1
        );
    }
}

#[tokio::test]
async fn ping_and_dig_get_bounds_and_a_host_that_is_one() {
    let mut programs = Fakes::new();
    programs.answer("ping", "", &[(0, "64 bytes", ""), (1, "100% packet loss", ""), (2, "", "unknown host")]);
    programs.answer("dig", "", &[(0, "an answer", "")]);
    let context = programs.context(context());
    let run = async |function: &str, arguments: Value, keywords: Value| {
        let result = returned(&[call(function, arguments, keywords)], &context).await;
        assert_shape(function, &result.value);
        (result.value, result.retcode, programs.calls().join(";"))
    };
    let said = |value: Value, retcode: i32, call: &str| (value, retcode, call.to_owned());
    let ping = said(json!("64 bytes"), 0, "ping -c 4 -W 5 -w 9 example.org");
    assert_eq!(run("network.ping", json!(["example.org"]), json!({})).await, ping);
    let ping = said(json!("100% packet loss"), 1, "ping -c 4 -W 2 -w 6 ::1");
    assert_eq!(run("network.ping", json!(["::1", 2]), json!({})).await, ping);
    let ping = said(json!("unknown host"), 2, "ping -c 4 -W 5 -w 9 web1");
    assert_eq!(run("network.ping", json!(["web1", false]), json!({})).await, ping);
    let (value, retcode, _) = run("network.ping", json!(["web1"]), json!({"return_boolean": true})).await;
    assert_eq!((value, retcode), (json!(false), 2));
    let dig = said(json!("an answer"), 0, "dig +time=3 +tries=2 example.org");
    assert_eq!(run("network.dig", json!(["example.org"]), json!({})).await, dig);
    for host in ["-f", "", "a b", "a;b", "$(x)", "@8.8.8.8", "%eth0", &"a".repeat(254)] {
        for function in ["network.ping", "network.dig"] {
            let why =
                format!("ERROR executing '{function}': 'host' needs a host name or an address, not {host:?}");
            assert_eq!(run(function, json!([host]), json!({})).await, said(json!(why), 1, ""));
        }
    }
    for timeout in [json!("soon"), json!(0), json!(3601), json!(1.5)] {
        let (value, _, calls) = run("network.ping", json!(["web1", timeout]), json!({})).await;
        assert!(
            value.as_str().unwrap().contains("'timeout' needs a whole number of seconds") && calls.is_empty()
        );
    }
    let missing = "ERROR: this needs the program \"dig\", which is not installed";
    let bare = Fakes::new().context(context.clone());
    assert_eq!(returned(&[call("network.dig", json!(["web1"]), json!({}))], &bare).await.value, missing);
    let mut answers = Fakes::new();
    answers.answer("ping", "", &[(0, "64 bytes", "")]);
    let reached = [call("network.ping", json!(["web1"]), json!({"return_boolean": true}))];
    let reached = returned(&reached, &answers.context(context.clone())).await;
    assert_eq!((reached.value, reached.retcode), (json!(true), 0));
}
