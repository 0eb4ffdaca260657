//! Who was asked, what they answered, and how far each is: one for all ways an answer can come,
//! the page, the paste and the sandbox's people.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;
use url::Url;

use super::{
    Ask, Privileged, ShownBy, What,
    answer::{self, Answer, Refusal, RefusedBy, Unreadable, cleaned},
    sign_in,
    state::Token,
};
use crate::{
    cloud::Cloud,
    entra::{self, Api, Asker, ClientProof, Code, Issuers, Pkce, SignIn, UserToken},
    event::{Event, Events},
    failure::{Cause, Failure},
    http::{Network, hint_for_code},
    ids::TenantKey,
    links,
    plan::manual::ManualKind,
    prove::Wallet,
    registration::RedirectUri,
    secret::Secret,
    vault::{AuditEntry, ConsentDenied, VaultWriter},
};

/// How many answers may be open to one question: a button pressed again and again.
const MOST_ATTEMPTS: usize = 8;

/// How long a token may take to show a consent that was just given: Entra ID replicates.
const PATIENCE: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

/// What taking answers needs.
#[derive(Debug)]
pub struct Office {
    /// The way out.
    pub network: Network,
    /// The cloud, whose pages people open.
    pub cloud: Cloud,
    /// Where refresh tokens and refusals are kept.
    pub vault: Arc<VaultWriter>,
    /// Who issues tokens to this process.
    pub issuers: Issuers,
    /// The operator's name, for the audit.
    pub who: String,
    /// Who is told.
    pub events: Events,
    /// Whether a powerful user may sign in.
    pub privileged: Privileged,
}

/// The desk at which answers are taken.
#[derive(Debug)]
pub struct Desk {
    office: Office,
    rows: Mutex<Vec<Row>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Row {
    ask: Ask,
    state: RowState,
    attempts: Vec<Attempt>,
    token: Option<UserToken>,
}

/// One time that somebody was sent to Microsoft's page.
#[derive(Debug)]
struct Attempt {
    state: Token,
    redirect: Option<Url>,
    pkce: Pkce,
    answered: bool,
}

/// How far a question has come.
#[derive(Debug, Clone, PartialEq)]
pub enum RowState {
    /// Nobody has begun.
    Open,
    /// Somebody was sent to Microsoft's page.
    Started,
    /// Granted, and shown by a token.
    Granted,
    /// It came to nothing.
    Refused(Failure),
}

/// A question as it stands.
#[derive(Debug, Clone)]
pub struct RowView {
    /// What was asked of whom.
    pub ask: Ask,
    /// How far it is.
    pub state: RowState,
}

/// What came of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Accepted or signed in, and proved.
    Granted {
        /// Which tenant.
        tenant: TenantKey,
        /// What was asked.
        kind: ManualKind,
    },
    /// It came to nothing.
    Refused {
        /// Which tenant.
        tenant: TenantKey,
        /// What was asked.
        kind: ManualKind,
        /// Why, and what to do.
        why: Failure,
    },
}

impl Desk {
    /// A desk for these questions.
    pub fn new(office: Office, asks: Vec<Ask>) -> Self {
        let rows = asks.into_iter().map(Row::new).collect();
        Self { office, rows: Mutex::new(rows), changed: watch::Sender::new(0) }
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Goes up with every change; somebody who waits for it hears of each.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Every question, in the order in which they came up. A number of this list stays that
    /// question's.
    pub fn view(&self) -> Vec<RowView> {
        self.rows()
            .iter()
            .map(|row| RowView { ask: row.ask.clone(), state: row.state.clone() })
            .collect()
    }

    /// What came of a question, where something has.
    pub fn taken(&self, number: usize) -> Option<Taken> {
        let rows = self.rows();
        let row = rows.get(number)?;
        let (tenant, kind) = (row.ask.tenant.clone(), row.ask.what.kind());
        match &row.state {
            RowState::Open | RowState::Started => None,
            RowState::Granted => Some(Taken::Granted { tenant, kind }),
            RowState::Refused(why) => Some(Taken::Refused { tenant, kind, why: why.clone() }),
        }
    }

    /// Whether nobody is waited for any more: what was refused may be tried again as long as
    /// somebody else is waited for.
    pub fn is_done(&self) -> bool {
        self.rows().iter().all(|row| match row.state {
            RowState::Open | RowState::Started => false,
            RowState::Granted | RowState::Refused(_) => true,
        })
    }

    /// The tokens that the sign-ins of this run gave.
    pub fn tokens(&self) -> Vec<(TenantKey, UserToken)> {
        self.rows()
            .iter()
            .filter_map(|row| Some((row.ask.tenant.clone(), row.token.clone()?)))
            .collect()
    }

    /// The address of Microsoft's page for a question, made anew: with a `state` that belongs to
    /// this tenant, this kind of question and this time of asking alone. `page` is where a page of
    /// ours waits for the answer.
    ///
    /// # Errors
    /// There is no such question, it is granted already, or no address can be made.
    pub fn link(&self, number: usize, page: Option<&Url>) -> Result<Url, Failure> {
        let Office { cloud, .. } = &self.office;
        let (state, pkce) = (Token::fresh()?, Pkce::fresh());
        let mut rows = self.rows();
        let row = rows
            .get_mut(number)
            .filter(|row| row.state != RowState::Granted)
            .ok_or_else(|| Failure::new(Cause::Guard, "nobody is asked for that"))?;
        let Ask { directory, client, what, .. } = &row.ask;
        let (url, redirect) = match what {
            What::AdminConsent { landing, then: _, shown_by: _ } => {
                let page = page.map(|page| RedirectUri::new(page.as_str()));
                let landing = page.as_ref().or(landing.as_ref());
                let mut url = links::admin_consent(cloud, *directory, *client, landing);
                url.query_pairs_mut().append_pair("state", state.expose());
                (url, None)
            }
            What::SignIn(reader) => {
                let page = page.ok_or_else(|| {
                    Failure::new(Cause::Guard, "a sign-in needs a page to end on")
                })?;
                let asked = SignIn {
                    cloud,
                    tenant: *directory,
                    client: *client,
                    redirect: page,
                    scopes: &reader.scopes,
                    state: state.secret(),
                    pkce: &pkce,
                    // The one who is asked, so that nobody signs in with the session that is at hand.
                    login_hint: Some(&reader.user),
                };
                (entra::authorize_url(&asked)?, Some(page.clone()))
            }
        };
        if row.attempts.len() == MOST_ATTEMPTS {
            row.attempts.remove(0);
        }
        row.attempts.push(Attempt { state, redirect, pkce, answered: false });
        row.state = RowState::Started;
        drop(rows);
        self.note();
        Ok(url)
    }

    /// Takes the address that a browser ended on, and does all that follows from it. Once begun it
    /// should be let finish: a code is good for one use.
    ///
    /// # Errors
    /// It is no answer to anything asked here; nothing has changed then.
    pub async fn take(&self, address: &str) -> Result<(usize, Taken), Unreadable> {
        let ((number, ask, attempt), answer) = answer::read(address, |state| self.claim(state))?;
        let kind = ask.what.kind();
        let result = match (&ask.what, answer) {
            (_, Answer::Refused(refusal)) => Err(self.declined(&ask, refusal).await),
            (What::AdminConsent { shown_by, .. }, Answer::Accepted { tenant }) => {
                self.accepted(&ask, shown_by, tenant.as_deref()).await.map(|()| None)
            }
            (What::SignIn(_), Answer::Code(code)) => {
                self.signed_in(&ask, &attempt, &code).await.map(Some)
            }
            (What::AdminConsent { .. }, Answer::Code(_))
            | (What::SignIn(_), Answer::Accepted { .. }) => {
                Err(Failure::new(Cause::Garbled, Unreadable::OtherKind.to_string()))
            }
        };
        Ok((number, self.settle(number, &ask, kind, result)))
    }

    /// A page of Microsoft's that came to nothing and sent nobody back, with what it said.
    pub fn shown(&self, number: usize, page: &str) {
        let Some(ask) = self.rows().get(number).map(|row| row.ask.clone()) else { return };
        let words = cleaned(page);
        let mut why = Failure::new(Cause::Refused, words.clone());
        why.code = answer::aadsts(&words);
        self.settle(number, &ask, ask.what.kind(), Err(why));
    }

    /// Finds whose question a state is, and takes it off: it is answered once.
    fn claim(&self, state: &str) -> Result<(usize, Ask, Claimed), Unreadable> {
        let mut rows = self.rows();
        let mut found = None;
        // All are compared, so that the time tells nothing of which is near.
        for (number, row) in rows.iter().enumerate() {
            for (place, attempt) in row.attempts.iter().enumerate() {
                if attempt.state.is(state) {
                    found = Some((number, place));
                }
            }
        }
        let (number, place) = found.ok_or(Unreadable::NotAsked)?;
        let row = &mut rows[number];
        if row.state == RowState::Granted {
            return Err(Unreadable::Again);
        }
        let attempt = &mut row.attempts[place];
        if std::mem::replace(&mut attempt.answered, true) {
            return Err(Unreadable::Again);
        }
        let claimed = Claimed { redirect: attempt.redirect.clone(), pkce: attempt.pkce.clone() };
        Ok((number, row.ask.clone(), claimed))
    }

    fn settle(
        &self,
        number: usize,
        ask: &Ask,
        kind: ManualKind,
        result: Result<Option<UserToken>, Failure>,
    ) -> Taken {
        let tenant = ask.tenant.clone();
        let taken = match &result {
            Ok(_) => {
                self.office.events.say(Event::ConsentGranted { tenant: tenant.clone(), kind });
                Taken::Granted { tenant, kind }
            }
            Err(why) => {
                self.office.events.say(Event::ConsentDenied {
                    tenant: tenant.clone(),
                    kind,
                    code: why.code.clone(),
                    why: why.message.clone(),
                });
                Taken::Refused { tenant, kind, why: why.clone() }
            }
        };
        let mut rows = self.rows();
        let row = &mut rows[number];
        match result {
            // Two tabs may answer: what is granted stays so, and is followed once.
            _ if row.state == RowState::Granted => {}
            Ok(token) => {
                row.state = RowState::Granted;
                row.token = token;
                if let What::AdminConsent { then: Some(reader), .. } = &ask.what {
                    let ask = Ask {
                        who: reader.user.clone(),
                        what: What::SignIn(reader.clone()),
                        ..ask.clone()
                    };
                    rows.push(Row::new(ask));
                }
            }
            Err(why) => row.state = RowState::Refused(why),
        }
        drop(rows);
        self.note();
        taken
    }

    /// A no. An administrator's is remembered, so that `status` can tell it from silence.
    async fn declined(&self, ask: &Ask, refusal: Refusal) -> Failure {
        let Refusal { code, why, by } = refusal;
        let mut failure = Failure::new(Cause::Refused, why.clone());
        let hint = match (by, &ask.what) {
            (RefusedBy::Person, What::AdminConsent { .. }) => {
                "ask them why; the same link can be opened again"
            }
            (RefusedBy::Person, What::SignIn(_)) => "sign in again when it shall be",
            (RefusedBy::Service, _) if hint_for_code(&code).is_some() => {
                hint_for_code(&code).unwrap_or_default()
            }
            (RefusedBy::Service, What::AdminConsent { .. }) => {
                "it takes a Privileged Role Administrator or Global Administrator of that directory"
            }
            (RefusedBy::Service, What::SignIn(_)) => {
                "the code says which rule of the customer's directory it was: their administrator \
                 can allow it"
            }
        };
        failure.hint = Some(hint.to_owned());
        failure.code = Some(code.clone());
        if let What::AdminConsent { .. } = ask.what {
            let Office { vault, who, .. } = &self.office;
            let at = Timestamp::now();
            let denied = ConsentDenied {
                client_id: ask.client,
                at,
                why: if why.contains(&code) { why } else { format!("{code}: {why}") },
            };
            let (app, tenant) = (&ask.app, ask.tenant.clone());
            let entry = AuditEntry::new(at, who.as_str(), "consent")
                .step("remember-refusal")
                .app(app)
                .tenant(&tenant);
            let directory = ask.directory;
            let kept = async {
                vault.audit(entry).await?;
                vault
                    .change(app, move |record| {
                        let known = record
                            .tenants
                            .entry(tenant)
                            .or_insert_with(|| crate::vault::TenantRecord::pinned(directory));
                        known.consent_denied = Some(denied);
                    })
                    .await
            };
            if let Err(error) = kept.await {
                failure.message.push_str(&format!(" (the vault could not remember it: {error})"));
            }
        }
        failure
    }

    /// An administrator's yes, proved by a token of the directory that was asked: whatever the
    /// address says was crafted by whoever sent it.
    async fn accepted(
        &self,
        ask: &Ask,
        shown_by: &ShownBy,
        tenant: Option<&str>,
    ) -> Result<(), Failure> {
        if let Some(said) = tenant
            && !said.eq_ignore_ascii_case(&ask.directory.to_string())
        {
            return Err(sign_in::wrong_directory(ask, said));
        }
        let Office { network, cloud, .. } = &self.office;
        let proof = self.proof(ask).await?;
        let ShownBy { api, scope, roles } = shown_by;
        let api = Api { id: *api, scope };
        let mut last = None;
        for wait in PATIENCE {
            tokio::time::sleep(wait).await;
            let (directory, age) = (ask.directory, ask.shows.age());
            match entra::app_token(network, cloud, directory, ask.client, &proof, api, age).await {
                Ok(token) => {
                    let lacks: Vec<_> =
                        roles.difference(&token.roles).map(String::as_str).collect();
                    if lacks.is_empty() {
                        return Ok(());
                    }
                    let why = format!("the app's token lacks {}", lacks.join(", "));
                    last = Some(Failure::new(Cause::Refused, why));
                }
                Err(failure) => last = Some(failure),
            }
        }
        let failure = last.unwrap_or_else(|| Failure::new(Cause::NoAnswer, "nobody was asked"));
        let message = format!("accepted, but no token shows it yet: {}", failure.message);
        Err(Failure { message, ..failure }.hint("tenantry status looks again"))
    }

    async fn signed_in(
        &self,
        ask: &Ask,
        attempt: &Claimed,
        code: &Secret<String>,
    ) -> Result<UserToken, Failure> {
        let (What::SignIn(reader), Some(redirect)) = (&ask.what, &attempt.redirect) else {
            return Err(Failure::new(Cause::Garbled, Unreadable::OtherKind.to_string()));
        };
        let Office { network, cloud, vault, issuers: _, who, events: _, privileged } = &self.office;
        let proof = self.proof(ask).await?;
        let asker = Asker {
            network,
            cloud,
            directory: ask.directory,
            client: ask.client,
            proof: &proof,
            age: ask.shows.age(),
        };
        let code = Code { code, redirect, verifier: attempt.pkce.verifier() };
        sign_in::finish(ask, reader, &asker, &code, vault, who, *privileged).await
    }

    async fn proof(&self, ask: &Ask) -> Result<ClientProof, Failure> {
        let Office { vault, issuers, .. } = &self.office;
        let wallet = Wallet { vault, issuers };
        wallet.proof(&ask.app, &ask.shows).await.map_err(|why| {
            Failure::new(Cause::Guard, format!("the app cannot sign in here: {why}")).hint(
                "run it where the vault's key is, or where one of the app's issuers gives a token",
            )
        })
    }
}

/// What an attempt leaves for whoever takes its answer.
struct Claimed {
    redirect: Option<Url>,
    pkce: Pkce,
}

impl Row {
    fn new(ask: Ask) -> Self {
        Self { ask, state: RowState::Open, attempts: Vec::new(), token: None }
    }
}
