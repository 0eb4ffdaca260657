//! An adoption, in words: what of others stays on the app that becomes ours.

use super::paper::{Ink, Paper, word};
use crate::plan::{
    AppPlan,
    step::{Foreign, ForeignFederated, ForeignSecret},
};

/// What others put on the app: kept, each by its name.
pub fn kept(paper: &mut Paper, app: &AppPlan) {
    let Foreign { redirect_uris, tags, secrets, certificates, federated, owners } = &app.foreign;
    if app.foreign.is_empty() {
        return;
    }
    paper.line(0, &[word(Ink::Bold, "Kept, though not ours:")]);
    for uri in redirect_uris {
        paper.say(2, Some(word(Ink::Plain, "=")), &format!("redirect URI   {uri}"));
    }
    for tag in tags {
        paper.say(2, Some(word(Ink::Plain, "=")), &format!("tag            {tag}"));
    }
    let secrets = secrets.iter().map(|one| ("client secret ", one));
    let certificates = certificates.iter().map(|one| ("certificate   ", one));
    for (what, ForeignSecret { key_id, display_name, ends: _, other_vault }) in
        secrets.chain(certificates)
    {
        let name = display_name.as_deref().unwrap_or("without a name");
        let maker = other_vault.map_or_else(String::new, |vault| format!(", of vault {vault}"));
        let line = format!("{what} \"{name}\", {key_id}{maker}");
        paper.say(2, Some(word(Ink::Plain, "=")), &line);
    }
    for ForeignFederated { id: _, name, issuer, subject } in federated {
        let line = format!("federated      \"{name}\", {issuer}, {subject}");
        paper.say(2, Some(word(Ink::Plain, "=")), &line);
    }
    for owner in owners {
        paper.say(2, Some(word(Ink::Plain, "=")), &format!("owner          {owner}"));
    }
}
