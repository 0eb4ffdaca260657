//! Random filters, judged once by the room and once by something too simple to be wrong.

use proptest::prelude::*;

use super::*;

/// An application as the naive judge sees it.
#[derive(Debug, Clone)]
struct App {
    name: String,
    description: Option<String>,
    tags: Vec<String>,
    created: u32,
}

impl App {
    fn json(&self) -> Value {
        json!({"id": "x", "displayName": self.name, "description": self.description, "tags": self.tags,
            "createdDateTime": day(self.created)})
    }
}

fn day(day: u32) -> String {
    format!("2026-01-{:02}T00:00:00Z", day + 1)
}

/// A filter by its meaning.
#[derive(Debug, Clone)]
enum Wanted {
    Or(Box<Wanted>, Box<Wanted>),
    And(Box<Wanted>, Box<Wanted>),
    Not(Box<Wanted>),
    Name(&'static str, String),
    NameIn(Vec<String>),
    NameStarts(String),
    Description(&'static str, Option<String>),
    Created(&'static str, u32),
    Tag(String),
    TagStarts(String),
    Untagged(bool),
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Wanted {
    fn text(&self) -> String {
        match self {
            Wanted::Or(a, b) => format!("({}) or {}", a.text(), b.text()),
            // Without parentheses `or` would take over.
            Wanted::And(a, b) => format!("({}) and ({})", a.text(), b.text()),
            Wanted::Not(a) => format!("not ({})", a.text()),
            Wanted::Name(operator, name) => format!("displayName {operator} {}", quote(name)),
            Wanted::NameIn(names) => {
                format!(
                    "displayName in ({})",
                    names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(" , ")
                )
            }
            Wanted::NameStarts(start) => format!("startsWith(displayName,{})", quote(start)),
            Wanted::Description(operator, Some(text)) => {
                format!("description {operator} {}", quote(text))
            }
            Wanted::Description(operator, None) => format!("description {operator} null"),
            Wanted::Created(operator, moment) => {
                format!("createdDateTime {operator} {}", day(*moment))
            }
            Wanted::Tag(tag) => format!("tags/any(t:t eq {})", quote(tag)),
            Wanted::TagStarts(start) => format!("tags/any(x : startsWith(x, {}))", quote(start)),
            Wanted::Untagged(yes) => format!("tags/$count {} 0", if *yes { "eq" } else { "ne" }),
        }
    }

    fn holds(&self, app: &App) -> bool {
        let low = |text: &str| text.to_lowercase();
        match self {
            Wanted::Or(a, b) => a.holds(app) || b.holds(app),
            Wanted::And(a, b) => a.holds(app) && b.holds(app),
            Wanted::Not(a) => !a.holds(app),
            Wanted::Name(operator, name) => by(operator, &low(&app.name), &low(name)),
            Wanted::NameIn(names) => names.iter().any(|name| low(name) == low(&app.name)),
            Wanted::NameStarts(start) => low(&app.name).starts_with(&low(start)),
            Wanted::Description(operator, wanted) => match (&app.description, wanted) {
                (Some(found), Some(wanted)) => by(operator, &low(found), &low(wanted)),
                (found, wanted) => match *operator {
                    "eq" => found.is_none() && wanted.is_none(),
                    "ne" => found.is_some() || wanted.is_some(),
                    _ => false,
                },
            },
            Wanted::Created(operator, moment) => by(operator, &app.created, moment),
            Wanted::Tag(tag) => app.tags.iter().any(|other| low(other) == low(tag)),
            Wanted::TagStarts(start) => {
                app.tags.iter().any(|other| low(other).starts_with(&low(start)))
            }
            Wanted::Untagged(yes) => app.tags.is_empty() == *yes,
        }
    }
}

fn by<T: Ord>(operator: &str, found: &T, wanted: &T) -> bool {
    match operator {
        "eq" => found == wanted,
        "ne" => found != wanted,
        "gt" => found > wanted,
        "ge" => found >= wanted,
        "lt" => found < wanted,
        "le" => found <= wanted,
        other => panic!("{other} is no operator"),
    }
}

/// Few letters, so that texts meet; with what a parser could stumble over.
fn word() -> impl Strategy<Value = String> {
    "[aAbB'Öö ]{0,3}"
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["eq", "ne", "gt", "ge", "lt", "le"])
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let leaf = prop_oneof![
        (operator(), word()).prop_map(|(operator, name)| Wanted::Name(operator, name)),
        prop::collection::vec(word(), 1..4).prop_map(Wanted::NameIn),
        word().prop_map(Wanted::NameStarts),
        (operator(), prop::option::of(word()))
            .prop_map(|(operator, text)| Wanted::Description(operator, text)),
        (operator(), 0..5_u32).prop_map(|(operator, moment)| Wanted::Created(operator, moment)),
        word().prop_map(Wanted::Tag),
        word().prop_map(Wanted::TagStarts),
        any::<bool>().prop_map(Wanted::Untagged),
    ];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Wanted::Or(a.into(), b.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Wanted::And(a.into(), b.into())),
            inner.prop_map(|a| Wanted::Not(a.into())),
        ]
    })
}

fn app() -> impl Strategy<Value = App> {
    (word(), prop::option::of(word()), prop::collection::vec(word(), 0..3), 0..5_u32)
        .prop_map(|(name, description, tags, created)| App { name, description, tags, created })
}

proptest! {
    #[test]
    fn random_filters_mean_what_they_say(wanted in wanted(), apps in prop::collection::vec(app(), 1..8)) {
        let text = wanted.text();
        let query = advanced(&text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        for app in &apps {
            prop_assert_eq!(query.matches(&app.json()), wanted.holds(app), "{} on {:?}", text, app);
        }
    }

    #[test]
    fn hints_never_lose_a_match(wanted in wanted(), apps in prop::collection::vec(app(), 1..8)) {
        let query = advanced(&wanted.text()).unwrap();
        for app in apps.iter().filter(|app| wanted.holds(app)) {
            let low = |text: &str| text.to_lowercase();
            match query.filter_hint() {
                Some(EqualityHint::DisplayName(name)) => prop_assert_eq!(name, low(&app.name)),
                Some(EqualityHint::Tag(tag)) => prop_assert!(app.tags.iter().any(|other| low(other) == tag)),
                Some(EqualityHint::AppId(_) | EqualityHint::UniqueName(_)) => prop_assert!(false),
                None => {}
            }
        }
    }

    #[test]
    fn every_page_size_lists_everything_once(count in 0..40_usize, top in 1..12_usize, down in any::<bool>()) {
        let world: Vec<Value> = (0..count).map(|n| json!({"id": n.to_string(), "displayName": format!("{}", n % 5)})).collect();
        let direction = if down { "desc" } else { "asc" };
        let mut raw = format!("$orderby=displayName {direction}&$top={top}{ADVANCED}");
        let mut seen = Vec::new();
        loop {
            let page = query(&raw, true).unwrap().page(world.iter());
            prop_assert!(page.items.len() <= top);
            prop_assert_eq!(page.count, Some(count));
            seen.extend(page.items.iter().map(|item| item["id"].as_str().unwrap().parse::<usize>().unwrap()));
            match page.next {
                Some(next) => raw = next,
                None => break,
            }
        }
        let mut wanted: Vec<usize> = (0..count).collect();
        wanted.sort_by(|a, b| if down { (b % 5).cmp(&(a % 5)) } else { (a % 5).cmp(&(b % 5)) });
        prop_assert_eq!(seen, wanted);
    }
}
