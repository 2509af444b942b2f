use std::os::unix::fs::symlink;

use super::super::testing::{assert_shape, call, context, returned};
use super::*;

/// A kernel that is a folder of files, and a file of parameters.
struct Machine {
    folder: tempfile::TempDir,
    kernel: Kernel,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("sys");
        fs::create_dir_all(root.join("net/eth0.1")).unwrap();
        for (name, value) in [("net/eth0.1/mode", "1\n"), ("net/mem", "4\t5\t6\n"), ("stat_refresh", "!\n")] {
            fs::write(root.join(name), value).unwrap();
        }
        fs::write(folder.path().join("outside"), "kept").unwrap();
        symlink("../outside", root.join("link")).unwrap();
        Self { kernel: Kernel::at(root), folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("etc/sysctl.d/99.conf")
    }

    fn persist(&self, name: &str, value: &str) -> Result<Value, Fault> {
        let done = persisted(&self.kernel, &Key::typed(name)?, value, &self.config())?;
        assert_eq!(done.retcode, 0);
        assert_shape("sysctl.persist", &done.value);
        Ok(done.value)
    }

    fn read(&self, name: &str) -> Result<String, Fault> {
        self.kernel.read(&Key::typed(name)?)
    }
}

fn said(result: Result<impl std::fmt::Debug, Fault>) -> String {
    match result.unwrap_err() {
        Fault::Arguments(why) | Fault::Invocation(why) | Fault::Execution(why) => why,
    }
}

#[tokio::test]
async fn parameters_of_this_machine() {
    let context = context();
    let ask = async |function: &str, args: Value| {
        let result = returned(&[call(function, args, json!({}))], &context).await;
        assert_eq!(result.retcode, 0, "{function}: {}", result.value);
        assert_shape(function, &result.value);
        result.value
    };
    let here = fs::read_to_string("/proc/sys/kernel/ostype").unwrap();
    for name in ["kernel.ostype", "kernel/ostype"] {
        assert_eq!(ask("sysctl.get", json!([name])).await, here.trim_end());
    }
    let all = ask("sysctl.show", json!([])).await;
    assert_eq!(all["kernel.ostype"], here.trim_end());
    assert!(all.as_object().unwrap().len() > 100 && all.get("vm.stat_refresh").is_none(), "{all}");
    assert_eq!(ask("sysctl.default_config", json!([])).await, CONFIG);
    assert_eq!(ask("sysctl.show", json!(["/no/such/file"])).await, json!([]));

    for (function, args, expected) in [
        (
            "sysctl.get",
            json!(["kernel.nosuch"]),
            "ERROR: sysctl: cannot stat /proc/sys/kernel/nosuch: No such file or directory",
        ),
        (
            "sysctl.get",
            json!(["kernel"]),
            "ERROR: 'kernel' is a group of parameters; name one of them, sysctl.show lists them",
        ),
        ("sysctl.assign", json!(["kernel.nosuch", 1]), "ERROR: sysctl kernel.nosuch does not exist"),
        (
            "sysctl.persist",
            json!(["kernel.nosuch", 1, "/no/such"]),
            "ERROR: sysctl kernel.nosuch does not exist",
        ),
        (
            "sysctl.get",
            json!(["kernel/../../self/environ"]),
            "ERROR executing 'sysctl.get': 'kernel/../../self/environ' is not the name of a kernel parameter; write \
             it as net.ipv4.ip_forward",
        ),
        (
            "sysctl.assign",
            json!(["kernel.x", "1\nb = 2"]),
            "ERROR executing 'sysctl.assign': 'value' is one line of text",
        ),
        (
            "sysctl.persist",
            json!(["kernel.x", 1, "here.conf"]),
            "ERROR executing 'sysctl.persist': 'config' needs an absolute path",
        ),
    ] {
        let result = returned(&[call(function, args.clone(), json!({}))], &context).await;
        assert_eq!((result.value, result.retcode), (json!(expected), 1), "{function} {args}");
    }
    assert!(!Path::new("/no").exists(), "nothing was written");
}

#[tokio::test]
async fn a_list_has_a_bound() {
    let context = Context { output_max: 1000, ..context() };
    let cut = returned(&[call("sysctl.show", json!([]), json!({}))], &context).await;
    assert!(cut.truncated && cut.value.to_string().len() < 2000, "{}", cut.value);
}

#[tokio::test]
async fn files_of_parameters_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.conf");
    fs::write(&file, "# none\nkernel/x = 1 2\n-vm.y=\nkernel.x=3").unwrap();
    let shown = returned(&[call("sysctl.show", json!([file]), json!({}))], &context()).await;
    assert_eq!((&shown.value, shown.retcode), (&json!({"kernel.x": "3", "vm.y": ""}), 0));
    assert_shape("sysctl.show", &shown.value);
    let folder = returned(&[call("sysctl.show", json!([folder.path()]), json!({}))], &context()).await;
    assert_eq!(folder.retcode, 1);
}

#[test]
fn values_are_assigned() {
    let machine = Machine::new();
    let key = Key::typed("net.eth0/1.mode").unwrap();
    let done = assigned(&machine.kernel, &key, "23").unwrap();
    assert_eq!(done.value, json!({"net.eth0/1.mode": "23"}));
    assert_shape("sysctl.assign", &done.value);
    assert_eq!(machine.read("net/eth0.1/mode"), Ok("23".to_owned()));
    assert_eq!(machine.read("net.mem"), Ok("4\t5\t6".to_owned()), "as the kernel has it");

    assert!(said(machine.kernel.write(&Key::typed("link").unwrap(), "x")).contains("leads out of"));
    assert!(said(machine.read("link")).contains("leads out of"));
    assert_eq!(fs::read(machine.folder.path().join("outside")).unwrap(), b"kept");
    let names = |stop: &super::super::file::Stop| machine.kernel.all(stop).unwrap();
    let names: Vec<String> =
        names(&super::super::file::Stop::default()).iter().map(|(key, _)| key.dotted()).collect();
    assert_eq!(names, ["net.eth0/1.mode", "net.mem"]);
}

#[test]
fn what_the_kernel_refuses_is_told() {
    // Nothing there takes a value from anybody, so that nothing is changed by trying.
    let kernel = Kernel::new();
    let why = said(kernel.write(&Key::typed("kernel.ostype").unwrap(), "Hurd"));
    assert!(why.starts_with("sysctl -w failed: setting key \"kernel.ostype\": "), "{why}");
    let folder = tempfile::tempdir().unwrap();
    let full = Kernel::at("/dev");
    let why = said(full.write(&Key::typed("full").unwrap(), "x"));
    assert_eq!(why, "'full' is not a parameter");
    assert!(
        said(Kernel::at(folder.path().join("none")).read(&Key::typed("a").unwrap())).contains("cannot stat")
    );
}

#[test]
fn values_are_kept_for_the_next_boot() {
    let machine = Machine::new();
    let config = || fs::read_to_string(machine.config()).unwrap();
    assert_eq!(machine.persist("net/eth0.1/mode", "2"), Ok(json!("Updated")), "the folder is made");
    assert_eq!(config(), "# Kernel parameters that sysctl.persist keeps.\nnet.eth0/1.mode = 2\n");
    assert_eq!(machine.read("net.eth0/1.mode"), Ok("2".to_owned()));
    assert_eq!(machine.persist("net.eth0/1.mode", "2"), Ok(json!("Already set")));

    // The kernel has it, the file has not: the kernel is not asked again.
    let mem = machine.folder.path().join("sys/net/mem");
    assert_eq!(machine.persist("net.mem", "4 5 6"), Ok(json!("Updated")));
    assert_eq!(fs::read_to_string(&mem).unwrap(), "4\t5\t6\n");
    // The file has it, the kernel has not: the file stays as it is.
    fs::write(&mem, "7 8 9\n").unwrap();
    let before = config();
    assert_eq!(machine.persist("net.mem", "4\t5\t6"), Ok(json!("Updated")));
    assert_eq!((config(), machine.read("net.mem").unwrap()), (before.clone(), "4\t5\t6".to_owned()));

    assert_eq!(said(machine.persist("net.nosuch", "1")), "sysctl net.nosuch does not exist");
    assert_eq!(config(), before, "a value that cannot be set is not kept");
    fs::remove_file(machine.config()).unwrap();
    fs::create_dir(machine.config()).unwrap();
    let why = said(machine.persist("net.mem", "1 2 3"));
    assert!(why.starts_with("[Errno 21] Is a directory"), "{why}");
    assert_eq!(machine.read("net.mem").unwrap(), "4\t5\t6", "a file that cannot be read is known before");
}

#[test]
fn two_at_once_lose_nothing() {
    let machine = Machine::new();
    let root = machine.folder.path().join("sys");
    let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    names.iter().for_each(|name| fs::write(root.join(name), "0\n").unwrap());
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| machine.persist(name, "1").unwrap());
        }
    });
    let kept: Vec<String> =
        config::values(&fs::read(machine.config()).unwrap()).map(|(key, _)| key).collect();
    assert!(kept.len() == 8 && names.iter().all(|name| kept.contains(name)), "{kept:?}");
}
