//! The headings and examples of `--help`.

pub(super) const LIST: &str = "See";
pub(super) const ACT: &str = "Decide";
pub(super) const NARROW: &str = "Which ones, and why";
pub(super) const PRINT: &str = "Compare";
pub(super) const MAKE: &str = "Make keys";
pub(super) const OUTPUT: &str = "Output";
pub(super) const WHERE: &str = "Where, and who";

pub(super) const EXAMPLES: &str = "\
MATCH is an id, a glob or a comma list of them: web1, 'web*', 'web*,db1'.

Let a machine in:
  brine-key                               who is there, and who asks
  brine-key -l un --long                  who asks, from where, since when, with which fingerprint
  brine-key -f web1                       its whole fingerprint, to compare with the minion's log
  brine-key -a web1                       accept it: asks once, Enter is yes
  brine-key -a web1 --expect aa:bb:...    accept exactly this key, and no other; for scripts
  brine-key -A -y --wait-for 3            wait until three keys are there, then accept all

Put one out:
  brine-key suspend web1 --reason 'stolen laptop'    cut off at once, and keep the key
  brine-key resume web1                              let it in again
  brine-key -d web1                                  forget the key; its session ends at once
  brine-key history web1                             who decided what, when and why

Two keys claim one id:
  brine-key -f web1                       shows both; -a web1 then asks for --expect
  brine-key -l den --long                 keys whose id another key holds

Move, rotate, check:
  brine-key import --from-salt /etc/salt/pki/master --dry-run
  brine-key rotate-master --grace 7d
  brine-key doctor
  brine-key ledger verify | repair        the record of decisions, while the master is stopped

Exit codes:
  0 done, or answered with no   1 failed, nothing matched, or not in time   2 wrong usage
  3 no master, or no answer   4 refused   130 Ctrl-C   141 whoever read the output went away";
