//! Which issuers an app shall trust in place of a secret, given which it trusts.

use sha2::{Digest, Sha256};

use super::{
    AppPlan, Wish,
    diagnostic::{Code, Diagnostic},
    step::{Change, ForeignFederated, RemovalReason, Step},
};
use crate::{inventory::FoundFederated, manifest::Credential, registration::Federated};

/// What every name that we give begins with.
const MARK: &str = "tenantry-";
/// The digits of the digest in a name.
const DIGITS: usize = 16;
/// The most federated credentials of an app
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredentials-overview>).
const MOST: usize = 20;

/// What the federated credentials of one app amount to.
#[derive(Debug, Default)]
struct Trust {
    steps: Vec<Step>,
    foreign: Vec<ForeignFederated>,
    diagnostics: Vec<Diagnostic>,
}

/// The name that a credential of ours has: it follows from issuer and subject, so that every run
/// finds it again, and Graph never lets a name change
/// (<https://learn.microsoft.com/en-us/graph/api/resources/federatedidentitycredential>).
pub fn name_of(trusted: &Federated) -> String {
    let Federated { issuer, subject, audience: _ } = trusted;
    let digest = Sha256::digest(format!("{issuer}\n{subject}"));
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{MARK}{}", &digits[..DIGITS])
}

/// Whether a name is one of those that we give.
pub fn is_ours(name: &str) -> bool {
    name.strip_prefix(MARK).is_some_and(|digits| {
        digits.len() == DIGITS
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether a step lets tokens in that were not taken before.
pub const fn adds_trust(step: &Step) -> bool {
    matches!(step, Step::AddFederated { .. } | Step::UpdateFederated { .. })
}

/// Whether a step changes whose tokens are taken by credentials of ours: what was accepted before says
/// nothing of what is then.
pub fn changes_trust(step: &Step) -> bool {
    let theirs = RemovalReason::Foreign;
    adds_trust(step) || matches!(step, Step::RemoveFederated { reason, .. } if *reason != theirs)
}

/// The steps that make the app trust the issuers of the manifest, and no others of ours; where it
/// shall sign in by a credential again, not before `are_over` says that the tokens have had their day.
pub(super) fn trust(
    plan: &mut AppPlan,
    wanted: &Credential,
    found: &[FoundFederated],
    wish: &Wish,
    are_over: bool,
) {
    let issuers = match wanted {
        Credential::Federated(issuers) => issuers.as_slice(),
        Credential::Secret | Credential::Certificate => &[],
    };
    let others = if wish.remove_foreign { Others::Leave } else { Others::Stay };
    let mut trust = decide(found, issuers, others);
    if wish.rotate.is_some() {
        // Whoever asks for new secrets asks for no other trust of ours.
        trust.steps.retain(|step| {
            matches!(step, Step::RemoveFederated { reason: RemovalReason::Foreign, .. })
        });
        trust.diagnostics.clear();
    }
    match wanted {
        Credential::Federated(_) => {}
        Credential::Secret | Credential::Certificate => trust.steps.retain(|step| {
            are_over
                || !matches!(step, Step::RemoveFederated { reason: RemovalReason::Unwanted, .. })
        }),
    }
    plan.steps.append(&mut trust.steps);
    plan.diagnostics.append(&mut trust.diagnostics);
    plan.foreign.federated = trust.foreign;
}

/// A federated credential that is not ours, as it is named.
pub(super) fn foreign(one: &FoundFederated) -> ForeignFederated {
    let FoundFederated { id, name, trusts } = one;
    ForeignFederated {
        id: *id,
        name: name.clone(),
        issuer: trusts.issuer.clone(),
        subject: trusts.subject.clone(),
    }
}

/// What becomes of what others made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// It is kept.
    Stay,
    /// Somebody asked that it be removed.
    Leave,
}

/// The steps that make an app trust whom it shall, and nobody else by a credential of ours. An app
/// that does not exist yet shows nothing.
fn decide(found: &[FoundFederated], wanted: &[Federated], fate: Others) -> Trust {
    let mut trust = Trust::default();
    let (ours, theirs): (Vec<_>, Vec<_>) = found.iter().partition(|one| is_ours(&one.name));
    let (others, expelled) = match fate {
        Others::Stay => (theirs, Vec::new()),
        Others::Leave => (Vec::new(), theirs),
    };
    trust.foreign.extend(others.iter().copied().map(foreign));
    let (mut additions, mut changes) = (Vec::new(), Vec::new());
    for wanted in wanted {
        let name = name_of(wanted);
        if let Some(held) = ours.iter().find(|one| one.name == name) {
            if held.trusts != *wanted {
                let change = Change { from: held.trusts.clone(), to: wanted.clone() };
                changes.push(Step::UpdateFederated { id: held.id, name, change });
            }
            continue;
        }
        match others.iter().find(|one| speaks_of_the_same(&one.trusts, wanted)) {
            Some(theirs) if theirs.trusts == *wanted => {}
            Some(theirs) => trust.diagnostics.push(taken(theirs, wanted)),
            None => additions.push(Step::AddFederated { name, trusts: wanted.clone() }),
        }
    }
    let wanted_names: Vec<_> = wanted.iter().map(name_of).collect();
    let unwanted = ours.iter().filter(|one| !wanted_names.contains(&one.name));
    let leaving: Vec<_> = unwanted
        .map(|one| (one, RemovalReason::Unwanted))
        .chain(expelled.iter().map(|one| (one, RemovalReason::Foreign)))
        .collect();
    let stay = found.len() - leaving.len() + additions.len();
    if stay > MOST {
        additions.clear();
        trust.diagnostics.push(
            Diagnostic::new(
                Code::TooManyFederated,
                format!("the app would trust {stay} issuers and subjects, and may trust {MOST}"),
            )
            .hint("somebody else's count, too: --remove-foreign removes those"),
        );
    }
    // Whoever leaves does so last, so that nothing is locked out meanwhile; first where their place,
    // or their issuer and subject, are needed.
    let full = found.len() + additions.len() > MOST;
    let (first, last): (Vec<_>, Vec<_>) = leaving.into_iter().partition(|(one, _)| {
        full || wanted.iter().any(|wanted| speaks_of_the_same(&one.trusts, wanted))
    });
    let removal = |(one, reason): (&&FoundFederated, _)| Step::RemoveFederated {
        id: one.id,
        name: one.name.clone(),
        trusted: one.trusts.clone(),
        reason,
    };
    trust.steps.extend(first.into_iter().map(removal));
    trust.steps.append(&mut changes);
    trust.steps.append(&mut additions);
    trust.steps.extend(last.into_iter().map(removal));
    trust
}

/// No two credentials of an app may have the same issuer and subject.
fn speaks_of_the_same(one: &Federated, other: &Federated) -> bool {
    one.issuer == other.issuer && one.subject == other.subject
}

fn taken(theirs: &FoundFederated, wanted: &Federated) -> Diagnostic {
    Diagnostic::new(
        Code::FederatedTaken,
        format!(
            "somebody's federated credential \"{}\" has this issuer and subject with the audience \
             {}, the manifest says {}",
            theirs.name, theirs.trusts.audience, wanted.audience
        ),
    )
    .hint("an app takes an issuer and subject once: write their audience, or let them remove it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectId;
    use uuid::Uuid;

    fn of(subject: &str) -> Federated {
        Federated {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            audience: "api://AzureADTokenExchange".to_owned(),
        }
    }

    fn found(name: &str, trusts: Federated) -> FoundFederated {
        let id = ObjectId::from_uuid(Uuid::from_u128(7));
        FoundFederated { id, name: name.to_owned(), trusts }
    }

    fn ours(trusts: Federated) -> FoundFederated {
        found(&name_of(&trusts), trusts)
    }

    fn stay(found: &[FoundFederated], wanted: &[Federated]) -> Trust {
        decide(found, wanted, Others::Stay)
    }

    fn kinds(trust: &Trust) -> Vec<&'static str> {
        trust.steps.iter().map(Step::kind).collect()
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone_and_the_rest_is_mended() {
        assert!(kinds(&stay(&[ours(of("a"))], &[of("a")])).is_empty());
        assert_eq!(kinds(&stay(&[], &[of("a"), of("b")])), ["add-federated", "add-federated"]);
        // The old one leaves when its successor is there.
        assert_eq!(
            kinds(&stay(&[ours(of("a"))], &[of("b")])),
            ["add-federated", "remove-federated"]
        );
        let other_audience = Federated { audience: "other".to_owned(), ..of("a") };
        assert_eq!(kinds(&stay(&[ours(of("a"))], &[other_audience])), ["update-federated"]);
        // Turned to another subject by hand: our name is still ours.
        let bent = found(&name_of(&of("a")), of("b"));
        assert_eq!(kinds(&stay(std::slice::from_ref(&bent), &[of("a")])), ["update-federated"]);
        // Its subject is wanted under another name: it must go first.
        assert_eq!(kinds(&stay(&[bent], &[of("b")])), ["remove-federated", "add-federated"]);
    }

    #[test]
    fn what_others_made_is_kept_and_counted() {
        let theirs = found("their-pipeline", of("theirs"));
        let trust = stay(std::slice::from_ref(&theirs), &[of("a")]);
        assert_eq!(kinds(&trust), ["add-federated"]);
        assert_eq!(trust.foreign[0].name, "their-pipeline");
        // The same as ours would be: nothing is missing.
        let trust = stay(std::slice::from_ref(&theirs), &[of("theirs")]);
        assert!(kinds(&trust).is_empty() && trust.diagnostics.is_empty());
        let other_audience = Federated { audience: "other".to_owned(), ..of("theirs") };
        let trust = stay(&[theirs], &[other_audience]);
        assert!(kinds(&trust).is_empty());
        assert_eq!(trust.diagnostics[0].code, Code::FederatedTaken);

        let full: Vec<_> =
            (0..20).map(|n| found(&format!("their-{n}"), of(&n.to_string()))).collect();
        let trust = stay(&full, &[of("a")]);
        assert!(kinds(&trust).is_empty());
        assert_eq!(trust.diagnostics[0].code, Code::TooManyFederated);
        let mut full = full;
        full[19] = ours(of("old"));
        assert_eq!(kinds(&stay(&full, &[of("a")])), ["remove-federated", "add-federated"]);
    }

    #[test]
    fn what_others_made_goes_where_it_was_asked_and_ours_takes_its_place() {
        let theirs = found("backdoor", of("theirs"));
        let leave = |found: &[FoundFederated], wanted: &[Federated]| {
            let trust = decide(found, wanted, Others::Leave);
            assert!(trust.foreign.is_empty() && trust.diagnostics.is_empty());
            kinds(&trust)
        };
        let both = [theirs.clone(), ours(of("a"))];
        let Some(Step::RemoveFederated { name, reason, .. }) =
            decide(&both, &[of("a")], Others::Leave).steps.pop()
        else {
            panic!("nothing is removed")
        };
        assert_eq!((name.as_str(), reason), ("backdoor", RemovalReason::Foreign));
        assert_eq!(leave(&both, &[of("a")]), ["remove-federated"]);
        // No app takes an issuer and subject twice: theirs must go first.
        assert_eq!(leave(&[theirs], &[of("theirs")]), ["remove-federated", "add-federated"]);
    }

    #[test]
    fn only_names_of_our_kind_are_ours() {
        assert!(is_ours(&name_of(&of("a"))));
        for name in [
            "tenantry-",
            "tenantry-0123456789abcdeX",
            "tenantry-0123",
            "x",
            "Tenantry-0123456789abcdef",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
