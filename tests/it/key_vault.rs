//! The fleet's vault in an Azure Key Vault: the whole job from runners that forget everything.

use serde_json::{Value, json};

use crate::stage::{CONTOSO, HOME, ONE, Ran, Stage, directory, in_key_vault};

/// The stage's folder after a runner was thrown away: the manifest and the world are all there is.
fn forgets(stage: &Stage) {
    for name in ["config", "home", "vault", ".tenantry"] {
        let _ = std::fs::remove_dir_all(stage.path(name));
    }
}

fn asked(stage: &Stage, operation: &str) -> usize {
    stage.sandbox.requests().iter().filter(|r| r["operation"] == operation).count()
}

/// Everything that the provider's directory has of apps, but for what reading changes.
fn apps(stage: &Stage) -> Value {
    directory(&stage.sandbox.world(), HOME)["applications"].clone()
}

/// What a client secret, read from the vault, opens.
fn opens(stage: &Stage, key: &str) {
    let secret = stage.run(&["reveal", key]).exits(0).stdout;
    let client = stage.app(key)["appId"].as_str().unwrap().to_owned();
    stage.token(CONTOSO, &client, secret.trim());
}

#[test]
fn a_runner_that_forgets_everything_renews_nothing_and_doubles_nothing() {
    let stage = Stage::new(&in_key_vault(ONE));
    let missing = stage.run(&["plan"]).exits(7);
    assert!(missing.stderr.contains("there is no vault at https://"), "{}", missing.stderr);
    stage.run(&["vault", "init"]).exits(0);
    forgets(&stage);
    let plan = stage.run(&["plan", "--json"]).exits(0).json();
    let checksum = plan["checksum"].as_str().unwrap().to_owned();
    forgets(&stage);
    stage.run(&["apply", "--checksum", &checksum, "--no-input"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    let made = apps(&stage);
    for _ in 0..2 {
        forgets(&stage);
        assert_eq!(stage.run(&["plan", "--detailed-exitcode"]).exits(0).counted("to add"), 0);
        forgets(&stage);
        stage.run(&["apply", "--no-input", "--yes"]).exits(0);
        forgets(&stage);
        let status = stage.run(&["status", "--json"]).exits(0).json();
        assert_eq!(status["summary"]["reading"], 1, "{status}");
        assert_eq!(apps(&stage), made);
    }
    opens(&stage, "contoso");
    // No run left a claim that the next one would wait for.
    let world = stage.sandbox.world();
    let secrets = world["keyVaults"][0]["secrets"].as_object().unwrap();
    assert!(!secrets.keys().any(|name| name.contains("---lease-")), "{:?}", secrets.keys());
}

#[test]
fn a_reader_plans_and_reports_without_a_value() {
    let stage = Stage::new(&in_key_vault(ONE));
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    let role = |role: &str| {
        stage.change_world(|world| {
            world["keyVaults"][0]["assignments"][0]["role"] = json!(role);
        });
    };
    role("Key Vault Reader");
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    let status = stage.run(&["status", "--json"]).exits(0).json();
    let facets = &status["tenants"][0]["facets"];
    assert_eq!(facets["registration"]["state"], "ok");
    assert_eq!(facets["secret"]["state"], "unknown", "{facets}");
    assert_eq!(facets["access"]["state"], "unknown", "{facets}");
    let before = apps(&stage);
    let ran = stage.run(&["apply", "--yes", "--reissue"]).exits(5);
    assert!(ran.stderr.contains("Key Vault Secrets Officer"), "{}", ran.stderr);
    assert_eq!(apps(&stage), before, "nothing was changed");
    stage.run(&["reveal", "contoso"]).exits(1);
    role("Key Vault Secrets User");
    assert_eq!(stage.run(&["status", "--json"]).exits(0).json()["summary"]["reading"], 1);
}

/// For every k-th request of an apply killed, cut or lost: the next run ends with one app, one
/// secret, and the vault's value for it works.
#[test]
fn wherever_an_apply_is_cut_the_next_one_ends_the_same() {
    let stage = Stage::new(&in_key_vault(ONE));
    stage.run(&["vault", "init"]).exits(0);
    stage.sandbox.clear_requests();
    let fresh = stage.sandbox.world();
    stage.run(&["apply", "--yes"]).exits(0);
    let requests = stage.sandbox.requests().len();
    assert!(requests > 10, "{requests}");
    // From the k-th on all are lost, so that no repeat hides it. Of reads nothing comes; of writes
    // the answer.
    let cuts = [
        ("vault.setSecret", "cut-after", 2..=6),
        ("vault.setSecret", "cut-before", 5..=5),
        ("vault.updateSecret", "cut-after", 1..=1),
        ("vault.deleteSecret", "cut-before", 1..=1),
        ("vault.getSecret", "cut-before", 2..=2),
        ("vault.listSecrets", "cut-before", 1..=1),
        ("application.upsert", "cut-after", 1..=1),
        ("application.addPassword", "cut-after", 1..=1),
    ];
    for (operation, kind, all) in cuts {
        for nth in all {
            stage.sandbox.put_world(&fresh).unwrap();
            let fault = json!([{"operation": operation, "do": kind, "nth": nth, "times": 60}]);
            stage.sandbox.add_faults(&fault).unwrap();
            let cut: Ran = stage.run(&["apply", "--yes"]);
            stage.sandbox.clear_faults();
            // A claim that could not be deleted dies by itself.
            stage.sandbox.advance("PT3M").unwrap();
            let what = format!("{operation} {nth} {kind}: {}\n{}", cut.code, cut.stderr);
            stage.run(&["apply", "--yes", "--reissue"]).exits(0);
            let app = stage.app("contoso");
            let ours = app["passwordCredentials"].as_array().unwrap();
            assert_eq!(ours.len(), 1, "{what}");
            stage.consent(CONTOSO, "contoso");
            let status = stage.run(&["status", "--json"]).exits(0).json();
            assert_eq!(status["summary"]["reading"], 1, "{what}\n{status}");
            stage.run(&["plan", "--detailed-exitcode"]).exits(0);
        }
    }
}

#[test]
fn a_vault_is_copied_with_every_value_and_stays_the_same_vault() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.run(&["attest", "contoso", "--by", "Zoë"]);
    let secret = stage.run(&["reveal", "contoso"]).exits(0).stdout;
    let to = "https://acme-soc.vault.azure.net";
    // Cut in the middle, and gone on with.
    stage
        .sandbox
        .add_faults(
            &json!([{"operation": "vault.setSecret", "do": "cut-before", "nth": 4, "times": 60}]),
        )
        .unwrap();
    stage.run(&["vault", "copy", "--to", to]).exits(1);
    stage.sandbox.clear_faults();
    stage.sandbox.advance("PT3M").unwrap();
    let said = stage.run(&["vault", "copy", "--to", to]).exits(0);
    assert!(said.stdout.contains("1 app and 1 value, each value compared"), "{}", said.stdout);
    // A value that is another there is found, and put right.
    let other = |stage: &Stage| {
        stage.change_world(|world| {
            let secrets = &mut world["keyVaults"][0]["secrets"];
            let versions =
                secrets["tenantry-acme-soc--contoso"]["versions"].as_array_mut().unwrap();
            versions.last_mut().unwrap()["value"] = json!("another-value");
        });
    };
    other(&stage);
    stage.run(&["vault", "copy", "--to", to]).exits(0);
    let before = apps(&stage);
    std::fs::write(stage.path("manifest.yaml"), in_key_vault(ONE)).unwrap();
    std::fs::remove_dir_all(stage.path("vault")).unwrap();
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    assert_eq!(apps(&stage), before, "no secret was made anew");
    assert_eq!(stage.run(&["reveal", "contoso"]).exits(0).stdout, secret);

    // And back into another folder, with a key of its own.
    stage.run(&["vault", "copy", "--to", "back"]).exits(0);
    std::fs::write(stage.path("manifest.yaml"), ONE.replace("path: vault", "path: back")).unwrap();
    assert_eq!(stage.run(&["reveal", "contoso"]).exits(0).stdout, secret);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    let own = stage.run(&["vault", "copy", "--to", "back"]).exits(64);
    assert!(own.stderr.contains("name another place"), "{}", own.stderr);
    // Another vault is never written over.
    std::fs::write(stage.path("manifest.yaml"), ONE).unwrap();
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["vault", "copy", "--to", "back"]).exits(7);
    stage.run(&["vault", "copy", "--to", "https://evil.example"]).exits(64);
}

#[test]
fn a_vault_that_has_gone_on_is_not_rolled_back_to_its_old_copy() {
    let stage = Stage::with_vault(ONE);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    let to = "https://acme-soc.vault.azure.net";
    stage.run(&["vault", "copy", "--to", to]).exits(0);
    std::fs::write(stage.path("manifest.yaml"), in_key_vault(ONE)).unwrap();
    stage.sandbox.advance("P340D").unwrap();
    stage.run(&["apply", "--yes"]).exits(0);
    let secret = stage.run(&["reveal", "contoso"]).exits(0).stdout;
    let before = apps(&stage);
    // Somebody runs the old command again, from the folder that was left behind.
    std::fs::write(stage.path("manifest.yaml"), ONE).unwrap();
    let said = stage.run(&["vault", "copy", "--to", to]).exits(7);
    assert!(said.stderr.contains("gone on") && said.stderr.contains("contoso"), "{}", said.stderr);
    std::fs::write(stage.path("manifest.yaml"), in_key_vault(ONE)).unwrap();
    assert_eq!(stage.run(&["reveal", "contoso"]).exits(0).stdout, secret);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert_eq!(apps(&stage), before);
    // The other way it is a copy like any other.
    stage.run(&["vault", "copy", "--to", "vault"]).exits(0);
    std::fs::write(stage.path("manifest.yaml"), ONE).unwrap();
    assert_eq!(stage.run(&["reveal", "contoso"]).exits(0).stdout, secret);
}

#[test]
fn no_value_of_a_key_vault_is_told() {
    let stage = Stage::new(&in_key_vault(ONE));
    let mut runs = vec![stage.run(&["vault", "init", "-vv"]).exits(0)];
    runs.push(stage.run(&["apply", "--yes", "-vv", "--report", "apply.json"]).exits(0));
    stage.consent(CONTOSO, "contoso");
    for arguments in [
        &["status", "-vv", "--report", "status.html"][..],
        &["status", "--json", "-vv"],
        &["plan", "--json", "-vv"],
        &["doctor", "-vv"],
        &["explain", "contoso", "-vv"],
    ] {
        runs.push(stage.run(arguments).exits(0));
    }
    // An error of the vault that repeats what was sent.
    for operation in ["vault.setSecret", "vault.getSecret", "vault.updateSecret"] {
        stage
            .sandbox
            .add_faults(&json!([{"operation": operation, "do": {"echo": 400}, "times": 9}]))
            .unwrap();
        runs.push(stage.run(&["apply", "--yes", "--reissue", "-vv"]));
        stage.sandbox.clear_faults();
        stage.sandbox.advance("PT3M").unwrap();
    }
    assert!(asked(&stage, "vault.setSecret") > 3);
    let secrets = stage.sandbox.issued_secrets();
    assert!(secrets.len() > 1);
    for secret in &secrets {
        for run in &runs {
            assert!(!run.stdout.contains(secret.as_str()), "{}", run.arguments);
            assert!(!run.stderr.contains(secret.as_str()), "{}\n{}", run.arguments, run.stderr);
            for seen in &run.seen_as {
                assert!(
                    !String::from_utf8_lossy(seen).contains(secret.as_str()),
                    "{}",
                    run.arguments
                );
            }
        }
        for file in [
            "apply.json",
            "status.html",
            "world/world.json",
            "world/world.journal",
            "world/requests.jsonl",
        ] {
            let text = std::fs::read_to_string(stage.path(file)).unwrap_or_default();
            assert!(!text.contains(secret.as_str()), "{file}");
        }
    }
}

/// What somebody does who deletes these secrets by hand.
fn delete(stage: &Stage, which: impl Fn(&str) -> bool) {
    stage.change_world(|world| {
        let vault = &mut world["keyVaults"][0];
        let secrets = vault["secrets"].as_object().unwrap().clone();
        for (name, secret) in secrets.into_iter().filter(|(name, _)| which(name)) {
            vault["secrets"].as_object_mut().unwrap().remove(&name);
            let deleted = secret["versions"][0]["updated"].clone();
            vault["deletedSecrets"][name] = json!({"secret": secret, "deleted": deleted});
        }
    });
}

/// What somebody does who recovers all of it.
fn recover(stage: &Stage) {
    stage.change_world(|world| {
        let vault = &mut world["keyVaults"][0];
        let deleted = vault["deletedSecrets"].as_object().unwrap().clone();
        for (name, deleted) in deleted {
            vault["secrets"][name] = deleted["secret"].clone();
        }
        vault["deletedSecrets"] = json!({});
    });
}

#[test]
fn a_deleted_vault_is_recovered_and_not_made_anew() {
    let stage = Stage::new(&in_key_vault(ONE));
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    delete(&stage, |_| true);
    for command in [&["plan"][..], &["apply", "--yes"], &["vault", "init"]] {
        let said = stage.run(command).exits(7).stderr;
        assert!(said.contains("lies in the bin of") && said.contains("secret recover"), "{said}");
        assert!(!said.contains("tenantry vault init"), "{said}");
    }
    recover(&stage);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    opens(&stage, "contoso");
}

#[test]
fn a_deleted_secret_is_recovered_and_not_renewed() {
    let stage = Stage::new(&in_key_vault(ONE));
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.sandbox.clear_requests();
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert_eq!(asked(&stage, "vault.listDeleted"), 0, "on good days nobody looks into the bin");
    let made = apps(&stage);
    delete(&stage, |name| name == "tenantry-acme-soc--contoso");
    for command in [&["plan"][..], &["apply", "--yes"], &["apply", "--yes", "--reissue"]] {
        let ran = stage.run(command).exits(7);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("lies in the bin of key vault acme-soc"), "{said}");
        assert!(!said.contains("pipeline's cache"), "{said}");
    }
    assert_eq!(apps(&stage), made);
    recover(&stage);
    stage.run(&["plan", "--detailed-exitcode"]).exits(0);
    opens(&stage, "contoso");
}

#[test]
fn a_value_that_somebody_changed_is_neither_told_nor_used() {
    let stage = Stage::new(&in_key_vault(ONE));
    stage.run(&["vault", "init"]).exits(0);
    stage.run(&["apply", "--yes"]).exits(0);
    stage.consent(CONTOSO, "contoso");
    stage.run(&["status"]);
    let good = stage.sandbox.world();
    let broken: [&dyn Fn(&mut Value); 3] = [
        &|vault| {
            let other = vault["secrets"]["tenantry-acme-soc"]["versions"][0]["valueHash"].clone();
            let versions = &mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"];
            versions.as_array_mut().unwrap().last_mut().unwrap()["valueHash"] = other;
        },
        &|vault| {
            let versions = &mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"];
            versions.as_array_mut().unwrap().last_mut().unwrap()["enabled"] = json!(false);
        },
        &|vault| {
            let versions = &mut vault["secrets"]["tenantry-acme-soc--contoso"]["versions"];
            let newest = versions.as_array_mut().unwrap().last_mut().unwrap();
            newest["tags"].as_object_mut().unwrap().remove("label").unwrap();
        },
    ];
    for breaks in broken {
        stage.sandbox.put_world(&good).unwrap();
        stage.change_world(|world| breaks(&mut world["keyVaults"][0]));
        assert_eq!(stage.run(&["reveal", "contoso"]).exits(7).stdout, "");
        stage.sandbox.clear_requests();
        let status = stage.run(&["status", "--json"]).json();
        let secret = &status["tenants"][0]["facets"]["secret"];
        assert_eq!(secret["state"], "unknown", "{secret}");
        assert!(secret["evidence"]["what"].as_str().unwrap().contains("is damaged"), "{secret}");
        assert!(secret["nextStep"]["what"].as_str().unwrap().contains("bring back"), "{secret}");
        let copy = stage.run(&["vault", "copy", "--to", "elsewhere"]).exits(7);
        assert!(copy.stderr.contains("is damaged"), "{}", copy.stderr);
        stage.run(&["export", "--format", "env", "--out", "x.env", "contoso"]).exits(1);
        assert!(!stage.path("x.env").exists());
        stage.run(&["incidents", "--tenant", "contoso"]).exits(1);
    }
}

#[test]
fn a_vault_is_copied_to_no_address_but_a_key_vaults() {
    let stage = Stage::new(ONE);
    stage.run(&["vault", "init"]).exits(0);
    for place in ["http://acme-soc.vault.azure.net", "file:///x", "s3://bucket/vault"] {
        let said = stage.run(&["vault", "copy", "--to", place]).exits(64).stderr;
        assert!(said.contains("no place for a vault"), "{said}");
    }
    for made in ["http:", "file:", "s3:"] {
        assert!(!stage.path(made).exists(), "{made}");
    }
}
