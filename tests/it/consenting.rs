//! People asked and answering, through the real binary: what a script pastes, what lands in the
//! wrong directory, who is not asked again, and how waiting ends.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tenantry::sandbox::{NewDirectory, Opened};

use crate::{
    support::{Run, Stage, until},
    terminal::in_terminal,
};

/// Two customers whose analyst signs in, and whose administrators get a link.
const READERS: &str = r"version: 1
fleet: acme-soc
home: {tenant: acme-soc.example, cloud: global}
vault: {path: vault}
defaults: {connector: mssp-siem, signInAs: soc-reader@acme-soc.example}
tenants:
  tailspin: {name: Tailspin Toys, id: 6f1c0f5e-0000-4000-8000-000000000003}
  wingtip: {name: Wingtip Toys, id: 6f1c0f5e-0000-4000-8000-000000000008}
";

const TAILSPIN: &str = "6f1c0f5e-0000-4000-8000-000000000003";
const WINGTIP: &str = "6f1c0f5e-0000-4000-8000-000000000008";
const READER: &str = "soc-reader@acme-soc.example";

/// A stage on whose customers' directories the analyst is a guest, and both apps are made.
fn made(manifest: &str) -> Stage {
    let stage = Stage::new(manifest);
    let directory = |id: &str, name: &str| NewDirectory {
        id: Some(id.to_owned()),
        domain: None,
        name: name.to_owned(),
        home: false,
        users: vec![READER.to_owned()],
    };
    let both = [directory(TAILSPIN, "Tailspin Toys"), directory(WINGTIP, "Wingtip Toys")];
    stage.sandbox.ensure_directories(&both).unwrap();
    stage.apply().expect(0);
    stage
}

/// The fleet with both apps made and both administrators' consent given.
fn consented() -> Stage {
    let stage = made(READERS);
    stage.send_links();
    stage
}

/// The same, where an administrator is asked on this machine's own page.
fn asking_here() -> Stage {
    let here = READERS.replace("defaults: {", "defaults: {consent: {strategy: browser}, ");
    made(&here)
}

/// Where the browser ended that opened a link.
#[track_caller]
fn landed(stage: &Stage, link: &str) -> String {
    match stage.sandbox.open(link) {
        Opened::Landed(address) => address,
        other => panic!("{other:?}"),
    }
}

/// `consent` without a terminal: each link that it prints is given to `browse`, and what that gives
/// is what a script writes to standard input; nothing ends the input.
fn pasting(stage: &Stage, args: &[&str], mut browse: impl FnMut(&str) -> Option<String>) -> Run {
    let mut all = vec!["consent", "--paste"];
    all.extend(args);
    let (mut child, mut lines, stdout) = begin(stage.command(&all));
    let mut input: Option<ChildStdin> = child.stdin.take();
    let mut stderr = String::new();
    while let Some(line) = next(&mut lines) {
        stderr.push_str(&line);
        if let Some(link) = link_in(&line) {
            match (browse(link), &mut input) {
                (Some(address), Some(input)) => writeln!(input, "{address}").unwrap(),
                (_, input) => drop(input.take()),
            }
        }
    }
    let status = child.wait().unwrap();
    Run { code: status.code(), stdout: stdout.join().unwrap(), stderr }
}

fn begin(
    mut command: Command,
) -> (Child, BufReader<std::process::ChildStderr>, thread::JoinHandle<String>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let stdout = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let lines = BufReader::new(child.stderr.take().unwrap());
    (child, lines, stdout)
}

fn next(lines: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    (lines.read_line(&mut line).unwrap() > 0).then_some(line)
}

/// A link of this run: one with a state.
fn link_in(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with("http") && word.contains("state="))
}

/// Whether the vault holds a refresh token for a tenant's app.
fn holds_token(stage: &Stage, key: &str) -> bool {
    let file = fs::read(stage.vault().join(format!("{key}.age"))).unwrap();
    String::from_utf8_lossy(&file).contains("refresh-token")
}

/// The state of what belongs to one question out of its link.
fn state_of(link: &str) -> String {
    let url = url::Url::parse(link).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

#[test]
fn a_script_pastes_the_address_and_the_token_is_kept() {
    let stage = consented();
    for (key, more) in [("tailspin", &[][..]), ("wingtip", &["--no-input", "--json"])] {
        assert!(!holds_token(&stage, key));
        let mut args = vec![key];
        args.extend(more);
        let run = pasting(&stage, &args, |link| Some(landed(&stage, link)));
        run.expect(0);
        assert!(!run.stdout.contains("state="), "the link is for stderr: {}", run.stdout);
        assert!(run.stdout.contains(key), "{}", run.stdout);
        assert!(holds_token(&stage, key));
    }
    let tokens = |key| stage.tenant(key)["facets"]["token"]["state"].clone();
    assert_eq!((tokens("tailspin"), tokens("wingtip")), (json!("ok"), json!("ok")));
    // Nobody is asked again, and nothing waits for an address.
    stage.run(&["consent", "tailspin", "--paste"]).expect(0).says("it is nobody's turn");
}

#[test]
fn what_is_left_for_people_fails_a_consent_that_shall_fail_on_it() {
    let stage = consented();
    let args = ["tailspin", "--fail-on", "pending"];
    // The portal step is left.
    pasting(&stage, &args, |link| Some(landed(&stage, link))).expect(3);
}

/// One refused answer: nothing is in the vault, the run fails and says these things.
#[track_caller]
fn refuses(stage: &Stage, browse: impl FnMut(&str) -> Option<String>, says: &[&str]) {
    let run = pasting(stage, &["tailspin"], browse);
    run.expect(1);
    for words in says {
        run.says(words);
    }
    assert!(!holds_token(stage, "tailspin"), "{}", run.stderr);
}

#[test]
fn a_refused_answer_leaves_nothing_and_says_cause_and_cure() {
    let stage = consented();
    refuses(&stage, |_| None, &["standard input ended", "Do: ", "consent", "Not answered (1)"]);
    refuses(&stage, |_| Some(String::new()), &["not taken: the address holds no answer", "Do: "]);
    let made_up = "http://localhost/tenantry?code=1.AAAA&state=made-up";
    refuses(
        &stage,
        |_| Some(made_up.to_owned()),
        &["not taken: the answer does not belong", "Do:"],
    );
    let denied = |link: &str| {
        let error = "error=access_denied&error_description=AADSTS90094%3A+An+admin+is+needed";
        Some(format!("http://localhost/tenantry?{error}&state={}", state_of(link)))
    };
    refuses(
        &stage,
        denied,
        &["AADSTS90094", "An admin is needed", "Do: ", "administrator of that directory"],
    );
    let late = |link: &str| {
        let address = landed(&stage, link);
        stage.sandbox.advance("PT15M").unwrap();
        Some(address)
    };
    refuses(&stage, late, &["AADSTS70008", "Do: ", "Sign in again"]);
    // An address that was good once, in another run.
    let mut used = String::new();
    pasting(&stage, &["wingtip"], |link| {
        used = landed(&stage, link);
        Some(used.clone())
    })
    .expect(0);
    refuses(&stage, |_| Some(used.clone()), &["not taken: the answer does not belong", "Do: "]);
}

#[test]
fn the_wrong_user_and_a_powerful_one_leave_nothing() {
    let stage = consented();
    stage.change_world(|world| {
        people(world, TAILSPIN)["signsInAs"] = json!("admin@tailspin.example");
    });
    refuses(
        &stage,
        |link| Some(landed(&stage, link)),
        &["admin@tailspin.example signed in where", READER, "nothing was kept", "Do: sign out"],
    );
    stage.change_world(|world| {
        people(world, TAILSPIN).as_object_mut().unwrap().remove("signsInAs");
        for user in directory(world, TAILSPIN)["users"].as_array_mut().unwrap() {
            user["roles"] = json!(["Security Administrator"]);
        }
    });
    refuses(
        &stage,
        |link| Some(landed(&stage, link)),
        &["Security Administrator", "nothing was kept", "Do: ", "--allow-privileged"],
    );
    let args = ["tailspin", "--allow-privileged"];
    pasting(&stage, &args, |link| Some(landed(&stage, link))).expect(0);
    assert!(holds_token(&stage, "tailspin"));
}

#[test]
fn a_reader_who_becomes_an_administrator_reads_no_more_until_the_role_is_gone() {
    let stage = consented();
    let sign_in = |args: &[&str]| {
        pasting(&stage, args, |link| Some(landed(&stage, link))).expect(0);
    };
    let give = |roles: &[&str]| {
        stage.change_world(|world| {
            for user in directory(world, TAILSPIN)["users"].as_array_mut().unwrap() {
                user["roles"] = json!(roles);
            }
        });
    };
    let facets = || {
        let tenant = stage.tenant("tailspin");
        let of = |name: &str| tenant["facets"][name]["state"].as_str().unwrap().to_owned();
        (of("consent"), of("token"), of("access"), tenant["overall"].as_str().unwrap().to_owned())
    };
    let is = |consent: &str, token: &str, access: &str, overall: &str| {
        let wanted = [consent, token, access, overall].map(str::to_owned);
        assert_eq!(<[String; 4]>::from(facets()), wanted);
    };
    sign_in(&["tailspin"]);
    is("ok", "ok", "ok", "action-due");
    give(&["Security Reader", "Global Administrator"]);
    is("ok", "failed", "waiting", "not-reading");
    let token = stage.tenant("tailspin")["facets"]["token"].clone();
    assert!(
        token["evidence"]["what"].as_str().unwrap().contains("Global Administrator"),
        "{token}"
    );
    stage.run(&["tokens", "refresh"]).says("Global Administrator");
    // The token was kept all the while.
    give(&["Security Reader"]);
    is("ok", "ok", "ok", "action-due");
    // Whom somebody allowed is read as, with that role and no other.
    give(&["Security Administrator"]);
    is("ok", "failed", "waiting", "not-reading");
    sign_in(&["tailspin", "--allow-privileged"]);
    is("ok", "ok", "ok", "action-due");
    give(&["Security Administrator", "Global Administrator"]);
    is("ok", "failed", "waiting", "not-reading");
}

#[test]
fn a_domain_that_moved_to_another_directory_is_asked_about_in_neither() {
    let manifest = |domain: &str| {
        READERS
            .replace(
                "connector: mssp-siem, signInAs: soc-reader@acme-soc.example",
                "connector: graph-security, redirectUris: ['https://acme-soc.example/x']",
            )
            .replace(&format!("id: {TAILSPIN}"), &format!("domain: {domain}"))
    };
    let mut stage = made(&manifest("tailspin.example"));
    stage.send_links();
    assert_eq!(stage.tenant("tailspin")["overall"], "reading");
    let world = stage.sandbox.world();
    let directories = world["directories"].as_array().unwrap();
    let other = directories.iter().find(|d| d["id"] == WINGTIP).unwrap();
    let domain = other["domains"][0].as_str().unwrap().to_owned();
    stage.write_manifest(&manifest(&domain));
    let before = stage.asked().len();
    let tenant = stage.tenant("tailspin");
    let facets = &tenant["facets"];
    assert_eq!(facets["registration"]["state"], "failed", "{facets:#}");
    for facet in ["secret", "consent"] {
        assert_eq!(facets[facet]["state"], "unknown", "{facets:#}");
    }
    assert_ne!(facets["access"]["state"], "ok");
    assert_eq!(tenant["overall"], "not-reading");
    assert!(facets["consent"]["nextStep"]["link"].is_null());
    let asked = stage.asked();
    let tokens = asked[before..].iter().filter(|asked| {
        let path = asked["path"].as_str().unwrap_or_default();
        path.ends_with("/token") && (path.contains(WINGTIP) || path.contains(TAILSPIN))
    });
    // Wingtip's own, of another app.
    assert_eq!(tokens.count(), 1, "{asked:#?}");
    stage.run(&["status", "--fail-on", "not-reading"]).expect(1);
}

#[test]
fn where_some_work_the_others_make_it_partly_done() {
    let stage = consented();
    let mut first = None;
    // The second link is answered with the first one's address.
    let run = pasting(&stage, &["tailspin", "wingtip"], |link| {
        Some(first.get_or_insert_with(|| landed(&stage, link)).clone())
    });
    run.expect(4).says("not taken: this question has been answered already").says("Not answered");
    assert!(holds_token(&stage, "tailspin") && !holds_token(&stage, "wingtip"));
    assert!(run.stderr.contains("wingtip: soc-reader@acme-soc.example began"), "{}", run.stderr);
}

#[test]
fn a_secret_that_was_just_made_is_waited_for_at_the_sign_in() {
    let before_it_was_born = Instant::now();
    let stage = consented();
    let run = pasting(&stage, &["tailspin"], |link| {
        let address = landed(&stage, link);
        // From now on for three seconds it is as if nobody had heard of the secret.
        stage.sandbox.set_lag(before_it_was_born.elapsed() + Duration::from_secs(3));
        Some(address)
    });
    run.expect(0);
    let asked = stage.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked["status"] == 401).collect();
    assert!(!tokens.is_empty(), "the secret was known all along");
    assert!(holds_token(&stage, "tailspin"));
}

#[test]
fn a_code_of_another_directory_is_refused_and_what_was_left_there_is_named() {
    let stage = consented();
    let client = stage.app("tailspin")["appId"].as_str().unwrap().to_owned();
    refuses(
        &stage,
        |link| {
            let (pages, _) = link.split_once(TAILSPIN).unwrap();
            // Whoever edits the link has the other directory's administrator accept the app first.
            landed(&stage, &format!("{pages}{WINGTIP}/adminconsent?client_id={client}"));
            Some(landed(&stage, &link.replace(TAILSPIN, WINGTIP)))
        },
        &[
            "AADSTS700005",
            "somebody signed in to another directory than Tailspin Toys",
            "nothing was stored",
            "deletes what was left there: the enterprise application",
            &format!("with application id {client}"),
        ],
    );
}

#[test]
fn the_administrator_of_another_directory_is_refused_and_named() {
    let stage = asking_here();
    let client = stage.app("tailspin")["appId"].as_str().unwrap().to_owned();
    let edited = |link: &str| {
        assert!(link.contains("/adminconsent?"), "{link}");
        Some(landed(&stage, &link.replace(TAILSPIN, WINGTIP)))
    };
    refuses(
        &stage,
        edited,
        &[
            &format!(
                "directory {WINGTIP} answered for Tailspin Toys (tailspin, directory {TAILSPIN})"
            ),
            "nothing was stored",
            &format!("an administrator of directory {WINGTIP} deletes what was left there"),
            &format!("with application id {client}"),
        ],
    );
    assert_eq!(stage.tenant("tailspin")["facets"]["consent"]["state"], "waiting");
    // What the cure names is there.
    let world = stage.sandbox.world();
    let left =
        world["directories"].as_array().unwrap().iter().find(|d| d["id"] == WINGTIP).unwrap();
    let left = left["servicePrincipals"].as_array().unwrap();
    assert!(left.iter().any(|principal| principal["appId"] == *client));
    // The right one's yes, then the analyst, in one go.
    pasting(&stage, &["tailspin"], |link| Some(landed(&stage, link))).expect(0);
    assert!(holds_token(&stage, "tailspin"));
}

#[test]
fn without_a_terminal_a_page_becomes_a_link_and_nobody_is_waited_for() {
    let stage = asking_here();
    let started = Instant::now();
    for args in [&["consent"][..], &["apply", "--yes"], &["consent", "--no-input"]] {
        let run = stage.run(args);
        run.expect(0).says("no page opens and nobody is waited for. 2 tenants get a link");
        run.says(&format!("/{TAILSPIN}/adminconsent?"));
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_apply_asks_nobody_who_has_answered_since_the_last_run() {
    let stage = made(READERS);
    let linked = || {
        let run = stage.run(&["apply", "--yes", "--json"]);
        run.expect(0);
        run.stdout.lines().filter(|line| line.contains("\"consent-link\"")).count()
    };
    assert_eq!(linked(), 2);
    stage.send_links();
    assert_eq!(linked(), 0, "both have accepted");
}

#[test]
fn what_is_pasted_is_not_shown_and_the_terminal_is_as_it_was_afterwards() {
    let stage = consented();
    let mut command = in_terminal(&stage, &["consent", "tailspin", "--paste"]);
    let script = command.get_args().nth(1).unwrap().to_str().unwrap().replace("exec ", "");
    let script = format!("{script}; echo ended $?; stty -a");
    command = {
        let mut again = Command::new("script");
        again.args(["-qec", &script, "/dev/null"]);
        again.current_dir(command.get_current_dir().unwrap()).env_clear();
        again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        again
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("script, of util-linux");
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    let (mut shown, mut link) = (String::new(), None);
    while link.is_none() {
        let mut line = String::new();
        assert!(screen.read_line(&mut line).unwrap() > 0, "{shown}");
        link = link_in(&line).map(str::to_owned);
        shown.push_str(&line);
    }
    let address = landed(&stage, link.unwrap().trim());
    writeln!(keyboard, "{address}").unwrap();
    screen.read_to_string(&mut shown).unwrap();
    child.wait().unwrap();
    let url = url::Url::parse(&address).unwrap();
    let (_, code) = url.query_pairs().find(|(name, _)| name == "code").unwrap();
    assert!(code.len() > 20 && !shown.contains(&*code), "{shown}");
    assert!(shown.contains("ended 0") && holds_token(&stage, "tailspin"), "{shown}");
    let modes = shown.split("ended 0").nth(1).unwrap();
    assert!(modes.contains(" echo ") && !modes.contains("-echo "), "{modes}");
}

#[test]
fn waiting_at_the_page_has_a_clear_end() {
    let stage = asking_here();
    let (mut child, _, stdout) = begin(in_terminal(&stage, &["consent", "--wait", "2s"]));
    let status = child.wait().unwrap();
    let run = Run { code: status.code(), stdout: stdout.join().unwrap(), stderr: String::new() };
    run.expect(1)
        .says("2 steps for people, on this machine's own page")
        .says("The time to answer is over; --wait gives more.")
        .says("Not answered (2)")
        .says("an administrator of Tailspin Toys did not begin");
}

#[test]
fn a_signal_ends_the_waiting_in_order() {
    let stage = asking_here();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        // The page, by itself and as a phase of apply.
        for args in [&["consent"][..], &["apply", "--yes"]] {
            let pid = stage.manifest().with_file_name("pid");
            let _ = fs::remove_file(&pid);
            let (mut child, _, stdout) = begin(in_terminal(&stage, args));
            until("the page is open", || listens(&pid));
            kill(signal, fs::read_to_string(&pid).unwrap().trim());
            let status = child.wait().unwrap();
            let stdout = stdout.join().unwrap();
            let run = Run { code: status.code(), stdout, stderr: String::new() };
            run.expect(code).says("nobody is waited for any more").says("Not answered (2)");
            run.says("tailspin").says("2 need admin consent");
        }
        // The paste.
        let (mut child, mut lines, stdout) = begin(stage.command(&["consent", "--paste"]));
        let mut stderr = String::new();
        while let Some(line) = next(&mut lines) {
            stderr.push_str(&line);
            if link_in(&line).is_some() {
                kill(signal, &child.id().to_string());
                break;
            }
        }
        lines.read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        let run = Run { code: status.code(), stdout: stdout.join().unwrap(), stderr };
        run.expect(code).says("nobody is waited for any more").says("Not answered (2)");
        run.says("2 need admin consent");
        // Nobody holds the vault any more.
        let after = stage.run(&["tokens", "refresh"]);
        assert!(!after.expect(0).stderr.contains("waiting: another run"), "{}", after.stderr);
    }
}

fn kill(signal: &str, process: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {process}")).status();
    assert!(sent.unwrap().success());
}

/// Whether the process named in a file listens on a port of its own.
fn listens(pid: &Path) -> bool {
    let Ok(pid) = fs::read_to_string(pid) else { return false };
    let Ok(handles) = fs::read_dir(format!("/proc/{}/fd", pid.trim())) else { return false };
    let mine: BTreeSet<String> = handles
        .filter_map(|handle| fs::read_link(handle.ok()?.path()).ok())
        .filter_map(|to| {
            to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns[3] == "0A" && mine.contains(columns[9])
    })
}

/// The demo's fleet in a box: the people of the world answer.
struct Demo(TempDir);

impl Demo {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/demo.yaml");
        fs::copy(demo, folder.path().join("tenantry.yaml")).unwrap();
        Self(folder)
    }

    #[track_caller]
    fn events(&self, args: &[&str]) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(args).args(["--sandbox", "--json"]).current_dir(self.0.path()).env_clear();
        let output = command.env("HOME", self.0.path()).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Paths of the pages that were asked for since the last look.
    fn pages(&self, seen: &mut usize) -> Vec<String> {
        let log = self.0.path().join(".tenantry/sandbox/world/requests.jsonl");
        let text = fs::read_to_string(log).unwrap();
        let paths: Vec<String> = text
            .lines()
            .skip(*seen)
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|line| line["path"].as_str().unwrap_or_default().to_owned())
            .collect();
        *seen += paths.len();
        paths
            .into_iter()
            .filter(|p| p.ends_with("/authorize") || p.ends_with("/adminconsent"))
            .collect()
    }
}

fn of_type<'e>(events: &'e [Value], name: &str, kind: &str) -> BTreeSet<&'e str> {
    let events = events.iter().filter(|event| event["type"] == name && event["kind"] == kind);
    events.map(|event| event["tenant"].as_str().unwrap()).collect()
}

#[test]
fn events_tell_who_was_asked_and_nobody_who_answered_is_asked_again() {
    let demo = Demo::new();
    let schema = Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(["schema", "--of", "event"])
        .output()
        .unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let schema =
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let valid = |events: &[Value]| {
        for event in events {
            let mistakes: Vec<_> = schema.iter_errors(event).map(|e| e.to_string()).collect();
            assert!(mistakes.is_empty(), "{event:#}\n{}", mistakes.join("\n"));
            let link = event["link"].as_str().unwrap_or_default();
            assert!(!link.contains("state="), "{event}");
        }
    };
    let mut seen = 0;
    let first = demo.events(&["apply", "--yes"]);
    valid(&first);
    assert!(!demo.pages(&mut seen).is_empty());
    let granted = of_type(&first, "consent-granted", "admin-consent");
    let signed_in = of_type(&first, "consent-granted", "sign-in");
    assert_eq!(signed_in, ["tailspin", "wingtip"].into());
    assert!(granted.contains("contoso") && granted.contains("tailspin"), "{granted:?}");
    let linked = of_type(&first, "consent-link", "admin-consent");
    assert!(linked.is_superset(&granted), "{linked:?}");
    let denied = of_type(&first, "consent-denied", "admin-consent");
    assert!(!denied.is_empty() && denied.is_disjoint(&granted), "{denied:?}");

    let second = demo.events(&["apply", "--yes"]);
    valid(&second);
    let asked: BTreeSet<_> = second
        .iter()
        .filter(|event| event["type"].as_str().unwrap().starts_with("consent-"))
        .map(|event| event["tenant"].as_str().unwrap())
        .collect();
    assert!(asked.is_disjoint(&granted) && asked.is_disjoint(&signed_in), "{asked:?}");
    let pages = demo.pages(&mut seen);
    for id in [TAILSPIN, WINGTIP, "6f1c0f5e-0000-4000-8000-000000000001"] {
        assert!(!pages.iter().any(|path| path.contains(id)), "{pages:?}");
    }
    let summary = second.last().unwrap();
    let proved: Vec<_> = second.iter().filter(|event| event["type"] == "proved").collect();
    assert_eq!(proved.len(), 14, "each tenant is proved once: {summary}");
    for key in &signed_in {
        let event = proved.iter().find(|event| event["tenant"] == *key).unwrap();
        let facets = event["facets"].as_array().unwrap();
        for facet in ["consent", "token", "access"] {
            assert!(facets.contains(&json!([facet, "ok"])), "{key}: {event}");
        }
    }
}

fn directory<'w>(world: &'w mut Value, id: &str) -> &'w mut Value {
    let directories = world["directories"].as_array_mut().unwrap();
    directories.iter_mut().find(|directory| directory["id"] == id).unwrap()
}

fn people<'w>(world: &'w mut Value, id: &str) -> &'w mut Value {
    &mut directory(world, id)["people"]
}
