//! From what was seen to what it means and what to do next. Nothing here looks at anything itself.

use std::io;

use sotto_charter::{Charter, day_of};
use sotto_uplink::{Loss, Trial};

use super::ears::Heard;
use super::finding::Finding;
use crate::events::loss_text;

const DAY_MS: i64 = 86_400_000;
/// What ends within this is told.
const SOON_DAYS: i64 = 30;
/// A certificate is renewed faster than a charter is agreed.
const CERTIFICATE_SOON_DAYS: i64 = 14;

/// The mirror port: whether it can be listened to, what came, and what of it is telephony.
pub(crate) fn mirror(name: &str, heard: &Heard) -> Vec<Finding> {
    let Heard { seconds, capture, dialog, .. } = heard;
    if let Some(refused) = &heard.refused {
        return vec![Finding::fail("interface", refused, "take one of `ip link`, name it under [capture] interface, and run this as root")];
    }
    if heard.is_down {
        return vec![Finding::fail("interface", format!("{name} is down"), format!("`ip link set {name} up`; then see whether the cable and the switch's port are"))];
    }
    let place = if heard.is_apart { ", in a network namespace of its own" } else { "" };
    let mut findings = vec![Finding::fine("interface", format!("{name} is up; the packet ring has {} MiB{place}", heard.ring_bytes >> 20))];
    if capture.kernel_drops > 0 {
        let says = format!("{} of {} packets dropped within {seconds} s", capture.kernel_drops, capture.kernel_packets);
        findings.push(Finding::warn("packets", says, "a larger ring ([capture] ring_mib), or less beside it on this machine"));
    }
    let calls = heard.one_way + heard.both_ways;
    findings.push(if dialog.sip_messages > 0 {
        Finding::fine("SIP", format!("{} messages within {seconds} s, {} calls open", dialog.sip_messages, dialog.calls_open))
    } else if dialog.sip_malformed > 0 {
        Finding::fail("SIP", format!("{} messages, and none could be read", dialog.sip_malformed), "is it SIP in the clear? TLS (port 5061) cannot be heard at a mirror port: use SIPREC")
    } else if calls > 0 {
        Finding::warn("SIP", format!("none within {seconds} s, though {calls} calls sound"), "mirror the PBX's signalling too: without it nobody knows who is the agent. Over TCP: [capture] sip_tcp_ports")
    } else if heard.frames == 0 {
        Finding::fail("SIP", format!("no frame of any kind within {seconds} s on {name}"), "is the mirror session on, its destination this port, and the cable in it?")
    } else {
        let says = format!("none within {seconds} s, though {} frames came", heard.frames);
        Finding::warn("SIP", says, "place a call and try again (`--listen 30`); else the mirror shows the wrong port or VLAN: it must be the PBX's or the SBC's")
    });
    findings.push(if heard.both_ways > 0 && heard.one_way <= heard.both_ways {
        Finding::fine("RTP", format!("both directions of {} calls, {} packets", heard.both_ways, dialog.rtp_packets))
    } else if heard.one_way > 0 {
        let says = format!("{} of {calls} calls sound in one direction alone", heard.one_way);
        Finding::warn("RTP", says, "the mirror must copy what is received and what is sent (\"both\", \"rx and tx\"); on hold it may be right")
    } else if dialog.rtp_encrypted > 0 {
        Finding::warn("RTP", format!("{} packets, encrypted, with no key in the signalling", dialog.rtp_encrypted), "let the PBX send calls by SIPREC, or signal SDES in the clear on this leg")
    } else if dialog.unbound > 0 {
        Finding::warn("RTP", format!("{} packets that no call's signalling names", dialog.unbound), "calls that began before are known after a second; else mirror the signalling of these calls too")
    } else {
        Finding::warn("RTP", format!("none within {seconds} s"), "place a call and try again (`--listen 30`)")
    });
    findings
}

/// When the charter's promises end: the agreement, and each purpose's review.
pub(crate) fn dates(charter: &Charter, wall_ms: i64) -> Vec<Finding> {
    let today = day_of(wall_ms.saturating_mul(1_000));
    let soon = day_of((wall_ms + SOON_DAYS * DAY_MS).saturating_mul(1_000));
    let mut findings = Vec::new();
    if let Some(until) = charter.agreement.as_ref().and_then(|agreement| agreement.until) {
        findings.push(if today > until {
            Finding::fail("agreement", format!("it ended on {until}: nothing is measured"), "agree anew, and write the new end under [agreement] until").of_configuration()
        } else if soon >= until {
            Finding::warn("agreement", format!("it ends on {until}; past that day nothing is measured"), "begin to talk about the next one now")
        } else {
            Finding::fine("agreement", format!("until {until}"))
        });
    }
    let purposes = || charter.purposes.iter().filter(|purpose| charter.names(purpose.metric));
    let named = |from: Vec<(&str, String)>| from.iter().map(|(name, day)| format!("{name} ({day})")).collect::<Vec<_>>().join(", ");
    let past: Vec<_> = purposes().filter(|purpose| today > purpose.review_by).map(|purpose| (purpose.metric.name(), purpose.review_by.to_string())).collect();
    let near: Vec<_> = purposes().filter(|purpose| today <= purpose.review_by && soon >= purpose.review_by).map(|purpose| (purpose.metric.name(), purpose.review_by.to_string())).collect();
    if !past.is_empty() {
        findings.push(Finding::fail("review", format!("overdue, so not measured any more: {}", named(past)), "review the purpose, then set review_by"));
    }
    if !near.is_empty() {
        findings.push(Finding::warn("review", format!("due within {SOON_DAYS} days: {}", named(near)), "review the purpose, then set review_by: past it the metric stops"));
    }
    if findings.iter().all(|finding| finding.about != "review") && purposes().next().is_some() {
        findings.push(Finding::fine("review", "no purpose is due for review"));
    }
    findings
}

/// How far the connection to the broker came.
pub(crate) fn broker(address: &str, trial: &Trial, wall_ms: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if trial.addresses.is_empty() {
        return vec![Finding::fail("broker's name", format!("nobody knows where {address} is"), "see the name, and /etc/resolv.conf; or write the broker's address into /etc/hosts")];
    }
    let addresses = trial.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    findings.push(Finding::fine("broker's name", format!("{address} is at {addresses}")));
    match &trial.reached {
        Some(Err(error)) => {
            let next = match error.kind() {
                io::ErrorKind::ConnectionRefused => "nobody listens there: is the broker running, and at this port?",
                io::ErrorKind::TimedOut => "no answer: a firewall on the way, or a machine that is off",
                _ => "is there a route to it? `ip route get` says",
            };
            findings.push(Finding::fail("broker", format!("not reached: {error}"), next));
            return findings;
        }
        Some(Ok(())) => {}
        None => return findings,
    }
    match &trial.secured {
        Some(Ok(end)) => findings.push(certificate("broker's certificate", *end, wall_ms)),
        Some(Err(fault)) => {
            findings.push(Finding::fail("TLS", fault.to_string(), "see [uplink] ca, the name in [uplink] broker, and this machine's clock"));
            return findings;
        }
        None if !address.starts_with("mqtts://") => findings.push(Finding::fine("TLS", "none is asked for: mqtt:// in the clear")),
        None => {}
    }
    match trial.accepted {
        Some(Ok(())) => findings.push(Finding::fine("broker", "it takes us (CONNACK 0x00)")),
        Some(Err(loss)) => {
            let next = match loss {
                Loss::BadCredentials | Loss::NotAuthorized => "[uplink] user, and the password in /etc/sotto/credentials/mqtt-password; then the broker's own log",
                _ => "the broker's own log says more",
            };
            findings.push(Finding::fail("broker", loss_text(loss), next));
        }
        None => {}
    }
    findings
}

/// When a certificate ends.
pub(crate) fn certificate(about: &'static str, end_s: i64, wall_ms: i64) -> Finding {
    let end = day_of(end_s.saturating_mul(1_000_000));
    let days = (end_s - wall_ms / 1_000).div_euclid(DAY_MS / 1_000);
    if days < 0 {
        Finding::fail(about, format!("it ended on {end}"), "renew it")
    } else if days <= CERTIFICATE_SOON_DAYS {
        Finding::warn(about, format!("it ends on {end}, in {days} days"), "renew it now")
    } else {
        Finding::fine(about, format!("until {end}"))
    }
}

/// What is known of the clock.
pub(crate) struct Clock {
    pub(crate) wall_ms: i64,
    /// What `timedatectl` says; `None` where nobody does.
    pub(crate) is_synchronized: Option<bool>,
    /// The latest time that the spool believed; 0 for none.
    pub(crate) floor_ms: i64,
}

pub(crate) fn clock(clock: &Clock) -> Finding {
    /// 2026-01-01: no clock that is right shows less to this program.
    const NOT_BEFORE_MS: i64 = 1_767_225_600_000;
    let now = day_of(clock.wall_ms.saturating_mul(1_000));
    let next = "`timedatectl set-ntp true`, or chrony with a server that this network reaches";
    if clock.wall_ms < NOT_BEFORE_MS {
        return Finding::fail("clock", format!("it shows {now}"), next);
    }
    if clock.wall_ms < clock.floor_ms {
        let floor = day_of(clock.floor_ms.saturating_mul(1_000));
        return Finding::fail("clock", format!("it shows {now}, and the spool has seen {floor}: one of the two was wrong"), next);
    }
    match clock.is_synchronized {
        Some(true) => Finding::fine("clock", "synchronized"),
        Some(false) => Finding::warn("clock", "nobody keeps it right: scores are dated by it, and kept and deleted by it", next),
        None => Finding::not_tried("clock", "whether it is synchronized: timedatectl is not there, or nobody answers it"),
    }
}

/// Room on the spool's disk.
pub(crate) struct Disk {
    pub(crate) free_bytes: u64,
    /// What the spool's files take already.
    pub(crate) used_bytes: u64,
    pub(crate) quota_bytes: u64,
}

pub(crate) fn disk(disk: &Disk) -> Finding {
    const MIB: u64 = 1 << 20;
    /// Below it the first scores would be shed.
    const LEAST: u64 = 16 * MIB;
    let needed = disk.quota_bytes.saturating_sub(disk.used_bytes);
    let says = format!("{} MiB free; the spool has {} MiB and may have {}", disk.free_bytes / MIB, disk.used_bytes / MIB, disk.quota_bytes / MIB);
    if disk.free_bytes < LEAST {
        Finding::fail("disk", says, "make room now: scores are shed, then calls refused")
    } else if disk.free_bytes < needed {
        Finding::warn("disk", says, "make room, or lower [spool] quota_mib to what there is")
    } else {
        Finding::fine("disk", says)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sotto_uplink::TlsFault;

    use super::super::finding::Verdict;
    use super::*;

    /// 2026-11-24.
    const NOW_MS: i64 = 1_795_478_400_000;

    fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
        findings.iter().map(|finding| (finding.about, finding.verdict)).collect()
    }

    #[test]
    fn a_mirror_that_shows_one_direction_is_told_from_one_that_shows_nothing() {
        let mut heard = Heard { seconds: 5, ring_bytes: 32 << 20, ..Heard::default() };
        assert_eq!(verdicts(&mirror("eth1", &heard)), [("interface", Verdict::Fine), ("SIP", Verdict::Fail), ("RTP", Verdict::Warn)]);
        heard.frames = 900;
        let found = mirror("eth1", &heard);
        assert!(found[1].verdict == Verdict::Warn && found[1].says.contains("900"), "{found:?}");
        heard.dialog.sip_messages = 40;
        (heard.one_way, heard.both_ways) = (9, 1);
        let found = mirror("eth1", &heard);
        assert_eq!(verdicts(&found)[1..], [("SIP", Verdict::Fine), ("RTP", Verdict::Warn)]);
        assert!(found[2].next.contains("both"));
        (heard.one_way, heard.both_ways) = (1, 9);
        assert_eq!(verdicts(&mirror("eth1", &heard))[2], ("RTP", Verdict::Fine));
        heard.is_down = true;
        assert_eq!(verdicts(&mirror("eth1", &heard)), [("interface", Verdict::Fail)]);
    }

    #[test]
    fn the_broker_is_judged_by_how_far_one_came() {
        let trial = |reached, secured, accepted| Trial { addresses: vec![IpAddr::from([192, 0, 2, 7])], reached, secured, accepted };
        let nowhere = Trial { addresses: Vec::new(), reached: None, secured: None, accepted: None };
        assert_eq!(verdicts(&broker("mqtts://b", &nowhere, NOW_MS)), [("broker's name", Verdict::Fail)]);
        let refused = trial(Some(Err(io::ErrorKind::ConnectionRefused.into())), None, None);
        assert!(broker("mqtts://b", &refused, NOW_MS)[1].next.contains("running"));
        let expired = trial(Some(Ok(())), Some(Err(TlsFault::Expired)), None);
        assert_eq!(verdicts(&broker("mqtts://b", &expired, NOW_MS)).last(), Some(&("TLS", Verdict::Fail)));
        let wrong = trial(Some(Ok(())), Some(Ok(NOW_MS / 1_000 + 90 * 86_400)), Some(Err(Loss::BadCredentials)));
        let found = broker("mqtts://b", &wrong, NOW_MS);
        assert_eq!(verdicts(&found)[1..], [("broker's certificate", Verdict::Fine), ("broker", Verdict::Fail)]);
        assert!(found[2].next.contains("mqtt-password"));
        let taken = trial(Some(Ok(())), None, Some(Ok(())));
        assert!(broker("mqtt://localhost", &taken, NOW_MS).iter().all(|finding| finding.verdict == Verdict::Fine));
    }

    #[test]
    fn certificates_are_told_of_before_they_end() {
        let verdict = |days: i64| certificate("x", NOW_MS / 1_000 + days * 86_400, NOW_MS).verdict;
        assert_eq!([verdict(-1), verdict(3), verdict(60)], [Verdict::Fail, Verdict::Warn, Verdict::Fine]);
    }

    #[test]
    fn a_clock_behind_the_spool_is_wrong_even_where_it_is_synchronized() {
        let verdict = |wall_ms, is_synchronized, floor_ms| clock(&Clock { wall_ms, is_synchronized, floor_ms }).verdict;
        assert_eq!(verdict(NOW_MS, Some(true), 0), Verdict::Fine);
        assert_eq!(verdict(NOW_MS, Some(true), NOW_MS + DAY_MS), Verdict::Fail);
        assert_eq!(verdict(0, Some(true), 0), Verdict::Fail);
        assert_eq!(verdict(NOW_MS, Some(false), 0), Verdict::Warn);
        assert_eq!(verdict(NOW_MS, None, 0), Verdict::NotTried);
    }

    #[test]
    fn room_is_held_against_what_the_spool_may_still_take() {
        let verdict = |free: u64, used: u64| disk(&Disk { free_bytes: free << 20, used_bytes: used << 20, quota_bytes: 2_048 << 20 }).verdict;
        assert_eq!([verdict(2_048, 0), verdict(100, 2_000), verdict(1_000, 0), verdict(15, 2_040)], [Verdict::Fine, Verdict::Fine, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn what_was_agreed_is_told_of_before_it_ends() {
        let charter = |until: &str, review: &str| {
            let text = format!(
                "version = \"1\"\nprofile = \"us-one-party\"\nkpis = [\"silence\"]\n[agreement]\nname = \"W\"\nparties = [\"A\", \"B\"]\nsigned = \"2026-01-01\"\nuntil = \"{until}\"\n\
                 [retention]\nscores_days = 7\n[[purpose]]\nmetric = \"silence\"\nwhy = \"Find where our systems make people wait\"\nbasis = \"legitimate interest\"\nreview_by = \"{review}\"\n"
            );
            Charter::parse(&text).unwrap()
        };
        let found = |until, review| verdicts(&dates(&charter(until, review), NOW_MS));
        assert_eq!(found("2027-12-31", "2027-12-31"), [("agreement", Verdict::Fine), ("review", Verdict::Fine)]);
        assert_eq!(found("2026-12-01", "2026-12-01"), [("agreement", Verdict::Warn), ("review", Verdict::Warn)]);
        assert_eq!(found("2026-11-23", "2026-11-23"), [("agreement", Verdict::Fail), ("review", Verdict::Fail)]);
    }
}
