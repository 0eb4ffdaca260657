//! One file a mistake: what is said of it and where stands at its end, in `#!` lines
//! (`#! line:column path | what`, all of them, in order).

use std::{fs, path::Path};

use tenantry::manifest::{self, Mistakes};

fn said(mistakes: &Mistakes) -> Vec<String> {
    mistakes
        .list()
        .iter()
        .map(|m| format!("#! {}:{} {} | {}", m.place.line, m.place.column, m.place.path, m.what))
        .collect()
}

#[test]
fn each_mistake_is_found_where_it_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/manifests");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 80, "the corpus is not where it should be");
    let mut wrong = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let expected: Vec<_> = text.lines().filter(|line| line.starts_with("#! ")).collect();
        let found = match manifest::parse(vec![(name.clone().into(), text.clone().into_bytes())]) {
            Ok(_) => vec!["it was accepted".to_owned()],
            Err(mistakes) => {
                // Each mistake is also fit to be shown.
                let shown = mistakes.render(false, 80);
                assert_eq!(shown.matches("  × ").count(), mistakes.list().len(), "{shown}");
                said(&mistakes)
            }
        };
        if found != expected {
            wrong += &format!("{name}\n  expected\n{expected:#?}\n  found\n{}\n", found.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
