//! Grains about kernel, processors, memory, and whether the machine is real.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::read;

/// Grains of this machine.
pub(super) fn collect() -> Map<String, Value> {
    let mut grains = Map::new();
    // It fails only for a bad pointer.
    if let Ok(name) = nix::sys::utsname::uname() {
        grains.insert("kernel".to_owned(), json!(name.sysname().to_string_lossy()));
        grains.insert("kernelrelease".to_owned(), json!(name.release().to_string_lossy()));
        grains.insert("cpuarch".to_owned(), json!(name.machine().to_string_lossy()));
    }
    let cpuinfo = read("/proc/cpuinfo");
    grains.insert("num_cpus".to_owned(), json!(processors(&cpuinfo)));
    if let Some(mib) = memory_mib(&read("/proc/meminfo")) {
        grains.insert("mem_total".to_owned(), json!(mib));
    }
    grains.insert("virtual".to_owned(), json!(virtual_kind(&Marks::read(cpuinfo))));
    grains.insert("machine_id".to_owned(), json!(machine_id()));
    grains
}

fn machine_id() -> String {
    let id = read("/etc/machine-id");
    let id = if id.trim().is_empty() { read("/var/lib/dbus/machine-id") } else { id };
    id.trim().to_owned()
}

/// Online processors. The text counts them all; the process's own share (affinity, cgroup) would
/// be another fact.
fn processors(cpuinfo: &str) -> usize {
    let counted = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    if counted > 0 { counted } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// What tells a container or a virtual machine from a machine one can kick.
#[derive(Default)]
struct Marks {
    /// `/run/systemd/container`, or `container=` in the environment of the first process.
    container: String,
    /// `/.dockerenv` or `/run/.containerenv` exists.
    has_container_file: bool,
    /// `/proc/1/cgroup`.
    cgroup: String,
    /// `/proc/cpuinfo`.
    cpuinfo: String,
    /// Maker, product and BIOS maker from DMI, a line each.
    dmi: String,
    /// `/sys/hypervisor/type`.
    hypervisor: String,
}

impl Marks {
    fn read(cpuinfo: String) -> Self {
        let mut container = read("/run/systemd/container");
        if container.trim().is_empty() {
            container = read("/proc/1/environ")
                .split('\0')
                .find_map(|entry| entry.strip_prefix("container="))
                .unwrap_or_default()
                .to_owned();
        }
        let dmi = ["sys_vendor", "product_name", "bios_vendor"]
            .map(|name| read(&format!("/sys/class/dmi/id/{name}")));
        Self {
            container,
            has_container_file: ["/.dockerenv", "/run/.containerenv"]
                .iter()
                .any(|path| Path::new(path).exists()),
            cgroup: read("/proc/1/cgroup"),
            cpuinfo,
            dmi: dmi.map(|text| text.trim().to_owned()).join("\n"),
            hypervisor: read("/sys/hypervisor/type"),
        }
    }
}

/// Words in DMI, then Salt's word for the machine. The first that is found counts, so products
/// stand before the makers whose hypervisor they use.
const DMI_WORDS: [(&str, &str); 15] = [
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("innotek GmbH", "VirtualBox"),
    ("Parallels", "Parallels"),
    ("BHYVE", "bhyve"),
    ("Google Compute Engine", "gce"),
    ("Amazon EC2", "Nitro"),
    ("Xen", "xen"),
    ("OpenStack", "kvm"),
    ("oVirt", "kvm"),
    ("RHEV", "kvm"),
    ("KVM", "kvm"),
    ("QEMU", "kvm"),
    ("Bochs", "kvm"),
    ("SeaBIOS", "kvm"),
];

fn virtual_kind(marks: &Marks) -> &'static str {
    let cgroup_words = ["docker", "lxc", "kubepods", "libpod", "machine.slice/machine-"];
    if !marks.container.trim().is_empty()
        || marks.has_container_file
        || cgroup_words.iter().any(|word| marks.cgroup.contains(word))
    {
        return "container";
    }
    let has_flag = marks
        .cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"));
    // Microsoft and Amazon also make, and let, machines that one can kick.
    if marks.dmi.contains("Microsoft Corporation") && marks.dmi.contains("Virtual Machine") {
        return "VirtualPC";
    }
    let word = DMI_WORDS.iter().find(|(word, _)| marks.dmi.contains(word));
    match word {
        Some((_, "Nitro")) if !has_flag && marks.cpuinfo.contains("flags") => "physical",
        Some((_, kind)) => kind,
        None if marks.hypervisor.trim() == "xen" => "xen",
        // A hypervisor that gives no name: the small ones without DMI (Firecracker, Cloud
        // Hypervisor, crosvm) and the hosters that put their own name into DMI all use KVM.
        None if has_flag => "kvm",
        None => "physical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(processors("processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n"), 2);
        assert_eq!(
            processors("vendor_id : IBM/S390\nprocessor 0: version = FF\nprocessor 1: version = FF\n"),
            2
        );
        assert!(processors("") >= 1);
        assert_eq!(memory_mib("MemFree: 5 kB\nMemTotal:       16303436 kB\n"), Some(15921));
        assert_eq!(memory_mib("MemTotal: many kB\n"), None);
        assert_eq!(memory_mib(""), None);
    }

    fn marks(dmi: &str, flags: &str) -> Marks {
        Marks { dmi: dmi.to_owned(), cpuinfo: format!("flags\t\t: {flags}\n"), ..Marks::default() }
    }

    #[test]
    fn machines() {
        for (dmi, flags, expected) in [
            ("Dell Inc.\nPowerEdge R640\nDell Inc.", "fpu sse2", "physical"),
            ("QEMU\nStandard PC (Q35 + ICH9, 2009)\nSeaBIOS", "fpu hypervisor", "kvm"),
            ("VMware, Inc.\nVMware Virtual Platform\nPhoenix", "hypervisor", "VMware"),
            ("innotek GmbH\nVirtualBox\ninnotek GmbH", "hypervisor", "VirtualBox"),
            ("Microsoft Corporation\nVirtual Machine\nMicrosoft Corporation", "hypervisor", "VirtualPC"),
            ("Microsoft Corporation\nSurface Pro\nMicrosoft Corporation", "fpu", "physical"),
            ("Xen\nHVM domU\nXen", "hypervisor", "xen"),
            ("Amazon EC2\nt3.micro\nAmazon EC2", "hypervisor", "Nitro"),
            ("Amazon EC2\nm5.metal\nAmazon EC2", "fpu", "physical"),
            ("Google\nGoogle Compute Engine\nGoogle", "hypervisor", "gce"),
            ("Hetzner\nvServer\nHetzner", "hypervisor", "kvm"),
            ("", "fpu hypervisor", "kvm"),
            ("", "fpu nohypervisor", "physical"),
        ] {
            assert_eq!(virtual_kind(&marks(dmi, flags)), expected, "{dmi} {flags}");
        }
        let xen = Marks { hypervisor: "xen\n".to_owned(), ..marks("", "fpu") };
        assert_eq!(virtual_kind(&xen), "xen");
    }

    #[test]
    fn containers() {
        let kvm = || marks("QEMU\n\n", "hypervisor");
        let inside = [
            Marks { container: "lxc\n".to_owned(), ..kvm() },
            Marks { has_container_file: true, ..kvm() },
            Marks { cgroup: "12:pids:/docker/0123\n".to_owned(), ..kvm() },
            Marks { cgroup: "0::/kubepods/besteffort\n".to_owned(), ..kvm() },
        ];
        for marks in &inside {
            assert_eq!(virtual_kind(marks), "container");
        }
        assert_eq!(virtual_kind(&Marks { cgroup: "0::/init.scope\n".to_owned(), ..kvm() }), "kvm");
    }
}
