//! Reading the address that a browser ended on: pure, and believing nothing of it.
//!
//! Answers to an administrator's consent:
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-admin-consent>; to a sign-in:
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow>.

use url::form_urlencoded;

use crate::{secret::Secret, text::one_line};

/// The longest address that is read, in bytes: codes have about two thousand.
pub const LONGEST: usize = 16 * 1024;

/// How much is kept of a foreign text, in characters.
const LONGEST_TEXT: usize = 300;

/// What Microsoft's page sent a person back with.
#[derive(Debug)]
pub(super) enum Answer {
    /// An administrator accepted; where, says the address, and that is only compared.
    Accepted {
        /// `tenant`, cleaned.
        tenant: Option<String>,
    },
    /// Somebody signed in.
    Code(Secret<String>),
    /// It was refused, by the person or by Entra ID.
    Refused(Refusal),
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `AADSTS65004` where the words hold such a number, else `error`: `access_denied`, …
    pub code: String,
    /// Microsoft's words, cleaned and shortened, or what the code means where there are none.
    pub why: String,
    /// Whether it was the person's own no, and not a rule's.
    pub by: RefusedBy,
}

/// Who said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusedBy {
    /// The person pressed Cancel or declined.
    Person,
    /// Entra ID did not let them.
    Service,
}

/// Why an address is not the answer to anything asked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than any answer.
    #[error("the address is too long to be an answer of Microsoft's")]
    TooLong,
    /// No query in it.
    #[error("the address holds no answer: copy all of it, from http:// to its end")]
    NoAnswer,
    /// A parameter stands in it twice, so that two readers could read two things.
    #[error("the address holds `{0}` twice; nobody at Microsoft sends that")]
    Twice(&'static str),
    /// It belongs to no question of this run.
    #[error(
        "the answer does not belong to a question of this run: it is of an earlier run, of another \
         tenant, or made up"
    )]
    NotAsked,
    /// The same question was answered before.
    #[error("this question has been answered already; the first answer counts")]
    Again,
    /// A code where consent was asked for, or the other way about.
    #[error("the answer is of another kind than the question")]
    OtherKind,
}

/// The parameters that mean something to us.
const KNOWN: [&str; 7] =
    ["state", "error", "error_subcode", "error_description", "admin_consent", "tenant", "code"];

/// Reads an address, or only its query from the `?` on. `known` says whose question a state is;
/// nothing else of the address is looked at before.
///
/// # Errors
/// See [`Unreadable`]. None of them repeats anything of the address.
pub(super) fn read<T>(
    address: &str,
    known: impl FnOnce(&str) -> Result<T, Unreadable>,
) -> Result<(T, Answer), Unreadable> {
    if address.len() > LONGEST {
        return Err(Unreadable::TooLong);
    }
    let (_, query) = address.trim().split_once('?').ok_or(Unreadable::NoAnswer)?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut found: [Option<Secret<String>>; KNOWN.len()] = [const { None }; KNOWN.len()];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(place) = KNOWN.iter().position(|known| *known == name) else { continue };
        if found[place].replace(Secret::new(value.into_owned())).is_some() {
            return Err(Unreadable::Twice(KNOWN[place]));
        }
    }
    let [state, error, subcode, description, consent, tenant, code] = found;
    let state = state.ok_or(Unreadable::NoAnswer)?;
    let whose = known(state.expose())?;
    let text = |part: Option<Secret<String>>| {
        part.map(|part| cleaned(part.expose())).filter(|text| !text.is_empty())
    };
    // The second version of admin consent says `admin_consent=True` beside its errors too.
    if let Some(error) = error {
        let error = text(Some(error)).unwrap_or_else(|| "an error without a name".to_owned());
        return Ok((whose, Answer::Refused(refusal(error, text(subcode), text(description)))));
    }
    if let Some(consent) = consent {
        return if consent.expose().eq_ignore_ascii_case("true") {
            Ok((whose, Answer::Accepted { tenant: text(tenant) }))
        } else {
            let why = "Microsoft's page did not say that it was accepted".to_owned();
            let code = "admin_consent".to_owned();
            Ok((whose, Answer::Refused(Refusal { code, why, by: RefusedBy::Service })))
        };
    }
    match code {
        Some(code) if !code.expose().is_empty() => Ok((whose, Answer::Code(code))),
        Some(_) | None => Err(Unreadable::NoAnswer),
    }
}

fn refusal(error: String, subcode: Option<String>, description: Option<String>) -> Refusal {
    let number = description.as_deref().and_then(aadsts);
    // 65004: the user declined. The first version of admin consent knows only `permission_denied`.
    let person = subcode.as_deref() == Some("cancel")
        || number.as_deref() == Some("AADSTS65004")
        || (error == "permission_denied"
            && description.as_deref().is_some_and(|text| text.contains("canceled")))
        || (error == "access_denied" && number.is_none());
    let by = if person { RefusedBy::Person } else { RefusedBy::Service };
    let why = description.unwrap_or_else(|| match by {
        RefusedBy::Person => "the page was left with Cancel".to_owned(),
        RefusedBy::Service => "Microsoft's page gave no reason".to_owned(),
    });
    Refusal { code: number.unwrap_or(error), why, by }
}

/// `AADSTS65004` out of an error's words.
pub(super) fn aadsts(text: &str) -> Option<String> {
    let at = text.find("AADSTS")?;
    let digits = text[at + 6..].chars().take_while(char::is_ascii_digit).take(9).count();
    (digits > 0).then(|| text[at..at + 6 + digits].to_owned())
}

/// A foreign text as one short line: nothing that moves a cursor or turns the writing direction.
pub(super) fn cleaned(text: &str) -> String {
    one_line(text, LONGEST_TEXT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATE: &str = "right";

    fn asked(state: &str) -> Result<(), Unreadable> {
        if state == STATE { Ok(()) } else { Err(Unreadable::NotAsked) }
    }

    fn of(query: &str) -> Result<Answer, Unreadable> {
        read(&format!("http://localhost:1/tenantry?{query}"), asked).map(|((), answer)| answer)
    }

    #[track_caller]
    fn refused(query: &str, code: &str, by: RefusedBy) -> String {
        match of(query).unwrap() {
            Answer::Refused(refusal) => {
                assert_eq!((refusal.code.as_str(), refusal.by), (code, by), "{query}");
                refusal.why
            }
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn each_answer_of_microsofts_is_read_as_what_it_is() {
        match of("admin_consent=True&tenant=6F1C&state=right").unwrap() {
            Answer::Accepted { tenant } => assert_eq!(tenant.as_deref(), Some("6F1C")),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            of("admin_consent=True&tenant=6f1c&state=right&scope=https%3A%2F%2Fg%2F.default"),
            Ok(Answer::Accepted { .. })
        ));
        match of("code=0.A%2Bb&state=right&session_state=1#fragment").unwrap() {
            Answer::Code(code) => assert_eq!(code.expose(), "0.A+b"),
            other => panic!("{other:?}"),
        }
        let why = refused(
            "error=permission_denied&error_description=The+admin+canceled+the+request&state=right",
            "permission_denied",
            RefusedBy::Person,
        );
        assert_eq!(why, "The admin canceled the request");
        refused(
            "admin_consent=True&error=consent_required&error_description=AADSTS65004%3a+User+declined&state=right",
            "AADSTS65004",
            RefusedBy::Person,
        );
        let why = refused(
            "error=access_denied&error_subcode=cancel&state=right",
            "access_denied",
            RefusedBy::Person,
        );
        assert_eq!(why, "the page was left with Cancel");
        refused(
            "error=access_denied&error_description=AADSTS90094%3A+needs+an+admin&state=right",
            "AADSTS90094",
            RefusedBy::Service,
        );
        refused("error=server_error&code=abc&state=right", "server_error", RefusedBy::Service);
        refused("admin_consent=False&tenant=x&state=right", "admin_consent", RefusedBy::Service);
    }

    #[test]
    fn what_is_no_answer_is_refused_without_repeating_it() {
        let state_alone = "state=right&client_id=1&scope=x";
        for (query, wrong) in [
            ("", Unreadable::NoAnswer),
            ("code=secret", Unreadable::NoAnswer),
            (state_alone, Unreadable::NoAnswer),
            ("code=&state=right", Unreadable::NoAnswer),
            ("code=secret&state=wrong", Unreadable::NotAsked),
            ("code=secret&state=", Unreadable::NotAsked),
            ("code=secret&state=right&state=right", Unreadable::Twice("state")),
            ("code=secret&code=other&state=right", Unreadable::Twice("code")),
            ("error=a&%65rror=b&state=right", Unreadable::Twice("error")),
        ] {
            let error = of(query).unwrap_err();
            assert_eq!(error, wrong, "{query}");
            assert!(!error.to_string().contains("secret"));
        }
        assert_eq!(read("nonsense", asked).unwrap_err(), Unreadable::NoAnswer);
        let long = format!("?state=right&code={}", "a".repeat(LONGEST));
        assert_eq!(read(&long, asked).unwrap_err(), Unreadable::TooLong);
        assert!(!format!("{:?}", of("code=hunter2&state=right")).contains("hunter2"));
    }

    #[test]
    fn foreign_words_are_one_short_line() {
        let why = refused(
            "error=x&error_description=a%0D%0A%1B%5B2Jb%E2%80%AEc%00%20%20d&state=right",
            "x",
            RefusedBy::Service,
        );
        assert_eq!(why, "a [2Jbc d");
        let long = format!("error=x&error_description={}&state=right", "w".repeat(5000));
        assert_eq!(refused(&long, "x", RefusedBy::Service).chars().count(), LONGEST_TEXT + 1);
    }

    proptest! {
        #[test]
        fn no_address_panics_or_passes_with_another_state(address in "\\PC{0,200}", tail in "[a-z_=&%0-9?#+]{0,120}") {
            for text in [address.clone(), format!("http://localhost/tenantry?{tail}"), format!("{address}?{tail}")] {
                let nobody: Result<((), Answer), _> = read(&text, |_| Err(Unreadable::NotAsked));
                prop_assert!(nobody.is_err());
            }
        }

        #[test]
        fn only_the_very_state_is_taken(state in "[rightRIGHT%0-9]{0,8}") {
            let query = format!("code=c&state={state}");
            let decoded: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            let same = decoded.iter().any(|(name, value)| name == "state" && value == STATE);
            prop_assert_eq!(of(&query).is_ok(), same);
        }
    }
}
