//! Reports on disk: JSON, Markdown, CSV, HTML.

use std::{io::Write, path::Path};

use maud::Markup;
use serde_json::Value;

use super::{
    forecast, foreign,
    letter::letters,
    orphans,
    paper::clean,
    plan::count,
    status::{last_line_text, worst},
};
use crate::{
    plan::Plan,
    status::{EvidenceKind, FacetName, Left, State, Status, TenantStatus, WaitingFor},
};

/// What a report file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same document as `--json`.
    Json,
    /// For a ticket or a pull request.
    Markdown,
    /// For a browser, whole in itself.
    Html,
    /// For a spreadsheet.
    Csv,
}

impl Kind {
    /// What a file's name asks for.
    ///
    /// # Errors
    /// Says what names are understood.
    pub fn of(path: &Path) -> Result<Self, String> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("md") => Ok(Self::Markdown),
            Some("html") => Ok(Self::Html),
            Some("csv") => Ok(Self::Csv),
            _ => Err(format!(
                "{} ends in none of .json, .md, .html, .csv, which say what to write",
                path.display()
            )),
        }
    }
}

/// Writes a file as a whole or not at all. It is its owner's alone (0600) from the start, and so is
/// one that takes the place of a file that others could read.
///
/// # Errors
/// The folder does not exist or may not be written.
pub fn save(path: &Path, text: &str) -> std::io::Result<()> {
    // What a link leads to is replaced, not the link.
    let target = std::fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    // A pipe or a device is written to; a file in its place would be the end of it for everybody.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tenantry-report");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a folder, its owner's alone (0700), and those above it. One that is there keeps its rights.
///
/// # Errors
/// Something else has its name, or the folder above may not be written.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A report with a part before what it tells, in the words of its kind; nothing where it is no report
/// of that kind. A table for a spreadsheet holds one kind of rows, so that one stays as it is.
pub(super) fn with_part(
    kind: Kind,
    report: &str,
    (member, document): (&str, impl FnOnce() -> Value),
    markdown: impl FnOnce() -> String,
    markup: impl FnOnce() -> Markup,
) -> Option<String> {
    match kind {
        Kind::Json => match serde_json::from_str(report) {
            Ok(Value::Object(mut members)) => {
                members.insert(member.to_owned(), document());
                Some(json_text(&Value::Object(members)))
            }
            Ok(_) | Err(_) => None,
        },
        Kind::Markdown => Some(format!("{}\n{report}", markdown())),
        // What comes from outside is escaped in it: the first is the document's own.
        Kind::Html => {
            Some(report.replacen("<main", &format!("{}<main", markup().into_string()), 1))
        }
        Kind::Csv => Some(report.to_owned()),
    }
}

/// A facet in one word, with whose turn it is. What somebody said is never shown as proved.
fn facet_text(tenant: &TenantStatus, name: FacetName) -> String {
    let facet = tenant.facet(name);
    let state = match (facet.state, facet.evidence.kind) {
        (State::Ok, EvidenceKind::Attested) => "attested",
        (State::Ok, EvidenceKind::Proved | EvidenceKind::Observed)
        | (
            State::Waiting | State::Expiring | State::Failed | State::Unknown | State::NotNeeded,
            _,
        ) => facet.state.as_str(),
    };
    let person = facet.waiting_for.map_or_else(String::new, |who| format!(" ({})", who.as_str()));
    format!("{state}{person}")
}

/// Text from outside, as text: no link, image, tag or table of its own.
pub(super) fn markdown_text(text: &str) -> String {
    let mut escaped = String::new();
    for c in clean(text).chars() {
        match c {
            // A backslash does not keep it from calling somebody.
            '@' => escaped.push_str("@<!-- -->"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '|' | '[' | ']' | '(' | ')' | '!' | '`' | '*' | '_' | '#' | ':' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    // What `www.` begins is a link where GitHub shows it
    // (<https://github.github.com/gfm/#autolinks-extension->).
    escaped.replace("www.", "www\\.").replace("WWW.", "WWW\\.")
}

/// The status as Markdown.
pub fn status_markdown(status: &Status, sandbox: bool) -> String {
    let cell = markdown_text;
    let mut text = format!("# tenantry status: fleet {}\n\n", status.fleet);
    if sandbox {
        text.push_str("**sandbox**: nothing here is real.\n\n");
    }
    text.push_str(&format!("{}\n\nAs of {}.\n\n", last_line_text(status), status.as_of));
    text.push_str(
        "| tenant | name | state | access | consent | secret | token | portal | registration |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for tenant in &status.tenants {
        let facets = [
            FacetName::Access,
            FacetName::Consent,
            FacetName::Secret,
            FacetName::Token,
            FacetName::Portal,
            FacetName::Registration,
        ]
        .map(|name| facet_text(tenant, name));
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            tenant.key,
            cell(&tenant.name),
            tenant.overall.as_str(),
            facets.join(" | ")
        ));
    }
    let blamed: Vec<_> = status.tenants.iter().filter_map(|t| worst(t).map(|w| (t, w))).collect();
    if !blamed.is_empty() {
        text.push_str("\n## What is wrong\n\n");
        for (tenant, (name, facet)) in blamed {
            let what = cell(&facet.evidence.what);
            text.push_str(&format!("- **{}** {}: {what}\n", tenant.key, name.as_str()));
        }
    }
    text.push_str(&forecast::markdown(&status.due, status.as_of, &status.place));
    text.push_str(&foreign::markdown(status));
    text.push_str(&orphans::markdown(status));
    for (title, name, person) in [
        ("Admin consent", FacetName::Consent, Some(WaitingFor::CustomerAdmin)),
        ("Sign-in", FacetName::Token, Some(WaitingFor::Analyst)),
        ("Portal authorization", FacetName::Portal, None),
    ] {
        let listed: Vec<_> = status
            .tenants
            .iter()
            .filter(|tenant| match person {
                Some(person) => tenant.waits(name, person),
                None => tenant.needs_portal(),
            })
            .collect();
        if listed.is_empty() {
            continue;
        }
        text.push_str(&format!("\n## {title} ({})\n\n", listed.len()));
        for tenant in listed {
            let Some(next) = &tenant.facet(name).next_step else { continue };
            text.push_str(&format!("- **{}**: {}", tenant.key, cell(&next.who)));
            if let Some(link) = &next.link {
                text.push_str(&format!(", <{link}>"));
            }
            for (value_name, value) in &next.values {
                text.push_str(&format!(", {value_name} `{value}`"));
            }
            text.push('\n');
        }
    }
    if !status.left.is_empty() {
        text.push_str(&format!("\n## Left with customers ({})\n\n", status.left.len()));
        for one in &status.left {
            let (what, why) = (cell(&one.next_step.what), cell(&one.evidence.what));
            let (who, client) = (cell(&one.next_step.who), one.client_id);
            let tenant = &one.tenant;
            text.push_str(&format!(
                "- **{tenant}**: {who} {what}, application id `{client}`; {why}\n"
            ));
        }
    }
    texts(&mut text, status);
    text.push_str(&format!("\n{}\n", last_line_text(status)));
    text
}

/// The ready texts for people, quoted as they can be sent.
fn texts(text: &mut String, status: &Status) {
    let letters: Vec<_> = status
        .tenants
        .iter()
        .flat_map(|tenant| letters(status, tenant).into_iter().map(move |letter| (tenant, letter)))
        .collect();
    if letters.is_empty() {
        return;
    }
    text.push_str("\n## Texts to send\n");
    for (tenant, letter) in letters {
        text.push_str(&format!("\n### {}: {}\n\n", tenant.key, markdown_text(&letter.to)));
        let body = letter.text();
        let fence = fence(&body);
        // In a block of its own nothing in it is markup, and one click copies it.
        text.push_str(&format!("{fence}text\n{body}{fence}\n"));
    }
}

/// A fence longer than any run of backticks in a text, which cannot be closed from inside.
pub(super) fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// The status as CSV (RFC 4180): a line a tenant, then a line for each thing that is left with a
/// customer who was offboarded.
pub fn status_csv(status: &Status, sandbox: bool) -> String {
    let mut text = String::from(
        "tenant,name,tenantId,clientId,connector,state,registration,secret,consent,token,portal,access,needsPortalAuthorization,nextWho,nextWhat,link,consentLink,signInCommand,portalLink,sandbox,ends,endsWhat,endsCommand,notOurs,left,leftSince,leftObjectId,leftEvidence,leftCommand\r\n",
    );
    for tenant in &status.tenants {
        let next = FacetName::ALL.into_iter().find_map(|n| tenant.facet(n).next_step.as_ref());
        let mut fields = vec![
            tenant.key.to_string(),
            tenant.name.clone(),
            tenant.tenant_id.map_or_else(String::new, |id| id.to_string()),
            tenant.client_id.map_or_else(String::new, |id| id.to_string()),
            tenant.connector.to_string(),
            tenant.overall.as_str().to_owned(),
        ];
        fields.extend(FacetName::ALL.map(|name| facet_text(tenant, name)));
        fields.push(if tenant.needs_portal() { "yes" } else { "no" }.to_owned());
        fields.push(next.map_or_else(String::new, |next| next.who.clone()));
        fields.push(next.map_or_else(String::new, |next| next.what.clone()));
        fields.push(next.and_then(|n| n.link.as_ref()).map_or_else(String::new, |l| l.to_string()));
        let step = |name| tenant.facet(name).next_step.as_ref();
        let link = |listed: bool, name| {
            let link = step(name).filter(|_| listed).and_then(|next| next.link.as_ref());
            link.map_or_else(String::new, ToString::to_string)
        };
        let asks = tenant.waits(FacetName::Consent, WaitingFor::CustomerAdmin);
        let signs_in = tenant.waits(FacetName::Token, WaitingFor::Analyst);
        fields.push(link(asks, FacetName::Consent));
        let command = step(FacetName::Token).filter(|_| signs_in).and_then(|n| n.command.clone());
        fields.push(command.unwrap_or_default());
        fields.push(link(tenant.needs_portal(), FacetName::Portal));
        fields.push(if sandbox { "yes" } else { "no" }.to_owned());
        fields.extend(forecast::fields(&status.due, &tenant.key, &status.place));
        fields.push(foreign::field(status, &tenant.key));
        fields.resize(fields.len() + LEFT_COLUMNS, String::new());
        text.push_str(&csv_line(&fields));
    }
    for one in &status.left {
        text.push_str(&csv_line(&left_fields(one, sandbox)));
    }
    text
}

/// How many columns speak of what is left with customers; a tenant of the fleet has nothing in them.
const LEFT_COLUMNS: usize = 5;

/// What is left with a customer, in the columns of a tenant: what nobody can know of one that is in
/// no manifest stays empty.
fn left_fields(left: &Left, sandbox: bool) -> Vec<String> {
    let Left {
        tenant,
        name,
        app: _,
        app_name: _,
        tenant_id,
        client_id,
        app_stays: _,
        object_id,
        since,
        state,
        evidence,
        next_step,
    } = left;
    let mut fields = vec![
        tenant.to_string(),
        name.clone(),
        tenant_id.to_string(),
        client_id.to_string(),
        String::new(),
        "offboarded".to_owned(),
    ];
    fields.extend(FacetName::ALL.map(|_| String::new()));
    fields.push("no".to_owned());
    fields.extend([next_step.who.clone(), next_step.what.clone()]);
    fields.extend(["link", "consentLink", "signInCommand", "portalLink"].map(|_| String::new()));
    fields.push(if sandbox { "yes" } else { "no" }.to_owned());
    fields.extend(["ends", "endsWhat", "endsCommand", "notOurs"].map(|_| String::new()));
    let columns: [String; LEFT_COLUMNS] = [
        state.as_str().to_owned(),
        since.strftime("%Y-%m-%d").to_string(),
        object_id.map_or_else(String::new, |id| id.to_string()),
        evidence.what.clone(),
        next_step.command.clone().unwrap_or_default(),
    ];
    fields.extend(columns);
    fields
}

/// A line of a table, its end with it.
pub(super) fn csv_line(fields: &[impl AsRef<str>]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| csv_field(field.as_ref())).collect();
    format!("{}\r\n", fields.join(","))
}

/// A field in quotes where it needs them. One that a spreadsheet would take for a formula gets an
/// apostrophe: names come from a manifest that a customer may have a hand in.
pub(super) fn csv_field(text: &str) -> String {
    let mut text = clean(text);
    if text.starts_with(['=', '+', '-', '@']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// A plan as Markdown: the text of the screen in a block, under a heading that counts.
pub fn plan_markdown(plan: &Plan, screen: &str, sandbox: bool) -> String {
    let summary = plan.summary();
    let note = if sandbox { "**sandbox**: nothing here is real.\n\n" } else { "" };
    let fence = fence(screen);
    format!(
        "# tenantry plan: fleet {}\n\n{note}{} to add, {} to change, {} to remove; {} for people.\n\nChecksum `{}`\n\n{fence}\n{screen}{fence}\n",
        plan.fleet,
        summary.add,
        summary.change,
        summary.remove,
        count(summary.manual, "step"),
        plan.checksum()
    )
}

/// A plan as CSV (RFC 4180): a line a step.
pub fn plan_csv(plan: &Plan) -> String {
    let mut text = String::from("app,displayName,step,diagnostics\r\n");
    for app in plan.apps.values() {
        let codes: Vec<_> = app.diagnostics.iter().map(|d| d.code.as_str()).collect();
        let mut kinds: Vec<_> = app.steps.iter().map(crate::plan::step::Step::kind).collect();
        let tenants = plan.tenants.values().filter(|tenant| tenant.app == app.key);
        let granted = tenants.flat_map(|tenant| &tenant.steps);
        kinds.extend(granted.map(crate::plan::grant::Grant::kind));
        for kind in if kinds.is_empty() { vec![""] } else { kinds } {
            text.push_str(&csv_line(&[
                app.key.as_str(),
                &app.display_name,
                kind,
                &codes.join(" "),
            ]));
        }
    }
    text
}

/// A JSON document as it stands in a file.
pub fn json_text(document: &Value) -> String {
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_report_is_only_a_name() {
        let escaped = "\\!\\[x\\]\\(http\\://e\\)\\|&lt;b>";
        assert_eq!(markdown_text("![x](http://e)|<b>"), escaped);
        // Neither calls somebody, nor becomes a link by itself.
        assert_eq!(markdown_text("@octocat www.e.example"), "@<!-- -->octocat www\\.e.example");
    }

    #[test]
    fn a_field_can_neither_break_a_line_nor_start_a_formula() {
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_field("=cmd()"), "'=cmd()");
        assert_eq!(csv_field("a\r\nb"), "a\u{fffd}\u{fffd}b");
    }
}
