//! The functions of `pkg`, as users see them.

use super::super::{Function, Parameter, keyword, optional, required};
use super::{
    hold, install, latest_version, list_pkgs, list_upgrades, refresh_db, remove, upgrade, upgrade_available,
    version,
};

const NAME: Parameter = optional("name", "null", "name of the package, or several joined by commas (text)");
const NAME_OR_GLOB: Parameter =
    optional("name", "null", "name of the package, or a glob over what is installed (text)");
const PKGS: Parameter = optional("pkgs", "null", "names of packages; wins over name (list)");
const LOCK_TIMEOUT: Parameter = keyword(
    "lock_timeout",
    "60",
    "how long to wait while something else holds the package manager's lock (seconds)",
);
const REFRESH: Parameter = optional("refresh", "true", "True fetches the lists of packages first (boolean)");
const REFRESH_KEYWORD: Parameter =
    keyword("refresh", "true", "True fetches the lists of packages first (boolean)");
const VERSIONS_AS_LIST: &str = "True gives the versions of each package as a list (boolean)";

const CHANGES: &str = "{package: {old, new}} of all that changed, versions as text, empty for a package that is not \
                       there; {} when nothing did. A failure tells what changed all the same, what the package \
                       manager said, and what it left unfinished";
const HOLDS: &str = "{package: {name, changes: {old, new}, result: boolean, comment}}; retcode 1 when a result is \
                     False";
const LATEST: &str = "the version (text), or {package: version} for several; empty when there is none, or what is \
                      installed is the latest";

pub(super) fn functions() -> Vec<Function> {
    questions().into_iter().chain(changes()).collect()
}

fn questions() -> Vec<Function> {
    vec![
        Function::new("pkg.version", |c, b| Box::pin(version(c, b)), "Tells the installed version of packages.")
            .takes(const { &[keyword("versions_as_list", "false", VERSIONS_AS_LIST)] })
            .takes_more("names of packages, or globs with * (text)")
            .returns(
                "the version (text), empty when it is not installed; {package: version} for several and for a \
                 glob. Several versions of one package are joined by commas",
            )
            .example("pkg.version openssl"),
        Function::new("pkg.list_pkgs", |c, b| Box::pin(list_pkgs(c, b)), "Lists the installed packages.")
            .takes(
                const {
                    &[
                        optional("versions_as_list", "false", VERSIONS_AS_LIST),
                        optional(
                            "removed",
                            "false",
                            "True lists those that were removed but for their configuration; apt only (boolean)",
                        ),
                        optional(
                            "purge_desired",
                            "false",
                            "True lists those that are installed and marked to be purged; apt only (boolean)",
                        ),
                    ]
                },
            )
            .returns(
                "{package: version}; a package of another architecture as name:arch (apt) or name.arch (dnf), \
                 several versions of one package joined by commas",
            )
            .example("pkg.list_pkgs"),
        Function::new(
            "pkg.latest_version",
            |c, b| Box::pin(latest_version(c, b)),
            "Tells which version of packages would be installed, or upgraded to.",
        )
        .takes(const { &[REFRESH_KEYWORD, LOCK_TIMEOUT] })
        .takes_more("names of packages (text)")
        .returns(LATEST)
        .example("pkg.latest_version openssl"),
        Function::new(
            "pkg.available_version",
            |c, b| Box::pin(latest_version(c, b)),
            "Tells which version of packages would be installed: another name of pkg.latest_version.",
        )
        .takes(const { &[REFRESH_KEYWORD, LOCK_TIMEOUT] })
        .takes_more("names of packages (text)")
        .returns(LATEST)
        .example("pkg.available_version openssl"),
        Function::new(
            "pkg.upgrade_available",
            |c, b| Box::pin(upgrade_available(c, b)),
            "Tells whether there is a newer version of a package, or one at all when it is not installed.",
        )
        .takes(const { &[required("name", "name of the package (text)"), REFRESH_KEYWORD, LOCK_TIMEOUT] })
        .returns("boolean")
        .example("pkg.upgrade_available openssl"),
        Function::new(
            "pkg.list_upgrades",
            |c, b| Box::pin(list_upgrades(c, b)),
            "Lists the packages that an upgrade would change.",
        )
        .takes(
            const {
                &[
                    REFRESH,
                    optional(
                        "dist_upgrade",
                        "true",
                        "False leaves out what needs other packages installed or removed; with dnf it is always \
                         in (boolean)",
                    ),
                    LOCK_TIMEOUT,
                ]
            },
        )
        .returns("{package: new version}")
        .example("pkg.list_upgrades"),
        Function::new(
            "pkg.refresh_db",
            |c, b| Box::pin(refresh_db(c, b)),
            "Fetches the lists of packages from their sources.",
        )
        .takes(
            const {
                &[
                    keyword(
                        "failhard",
                        "false",
                        "True makes an error of each source that cannot be had; apt only, since dnf always does \
                         (boolean)",
                    ),
                    LOCK_TIMEOUT,
                ]
            },
        )
        .returns(
            "apt: {source: True when it is fetched anew, None when it is unchanged, False when it cannot be had}; \
             dnf: True when there are upgrades, None when there are none",
        )
        .example("pkg.refresh_db"),
    ]
}

fn changes() -> Vec<Function> {
    vec![
        Function::new(
            "pkg.install",
            |c, b| Box::pin(install(c, b)),
            "Installs packages, or upgrades them. No question is asked: configuration files that were changed on \
             the machine stay as they are. A package that is held and named is changed, and held again.",
        )
        .takes(
            const {
                &[
                    NAME,
                    optional("refresh", "false", "True fetches the lists of packages first (boolean)"),
                    keyword(
                        "pkgs",
                        "null",
                        "packages, each a name or {name: version}; wins over name (list)",
                    ),
                    keyword(
                        "version",
                        "null",
                        "the version to install, older ones too; apt takes a glob such as 1.2* (text)",
                    ),
                    keyword(
                        "fromrepo",
                        "null",
                        "release of apt, such as bookworm-backports, or repository of dnf to take it from (text)",
                    ),
                    keyword("only_upgrade", "false", "True leaves out what is not installed yet (boolean)"),
                    keyword(
                        "install_recommends",
                        "null",
                        "whether to install recommended packages too; None is as the machine is set up (boolean)",
                    ),
                    LOCK_TIMEOUT,
                ]
            },
        )
        .returns(CHANGES)
        .example("pkg.install pkgs='[nginx, {openssl: 3.0.15-1~deb12u1}]'"),
        Function::new(
            "pkg.remove",
            |c, b| Box::pin(remove(c, b, false)),
            "Removes packages, and with them what needs them. Their configuration stays.",
        )
        .takes(const { &[NAME_OR_GLOB, PKGS, LOCK_TIMEOUT] })
        .returns(CHANGES)
        .example("pkg.remove nginx"),
        Function::new(
            "pkg.purge",
            |c, b| Box::pin(remove(c, b, true)),
            "Removes packages with their configuration, and the configuration of those that were removed earlier.",
        )
        .takes(const { &[NAME_OR_GLOB, PKGS, LOCK_TIMEOUT] })
        .returns(
            "apt: {installed: changes, removed: changes of what was removed earlier}, {} when there was nothing; \
             dnf: as pkg.remove",
        )
        .example("pkg.purge nginx"),
        Function::new(
            "pkg.upgrade",
            |c, b| Box::pin(upgrade(c, b)),
            "Upgrades all packages that are not held.",
        )
        .takes(
            const {
                &[
                    REFRESH,
                    optional(
                        "dist_upgrade",
                        "false",
                        "True also does what needs other packages installed or removed; dnf always does (boolean)",
                    ),
                    LOCK_TIMEOUT,
                ]
            },
        )
        .returns(CHANGES)
        .example("pkg.upgrade"),
        Function::new("pkg.hold", |c, b| Box::pin(hold(c, b, true)), "Keeps packages at their version.")
            .takes(const { &[NAME, PKGS, LOCK_TIMEOUT] })
            .returns(HOLDS)
            .example("pkg.hold linux-image-amd64"),
        Function::new("pkg.unhold", |c, b| Box::pin(hold(c, b, false)), "Lets packages be upgraded again.")
            .takes(const { &[NAME, PKGS, LOCK_TIMEOUT] })
            .returns(HOLDS)
            .example("pkg.unhold linux-image-amd64"),
    ]
}
