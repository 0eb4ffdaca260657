//! Order and pages.

use super::*;

fn many(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"id": format!("{n:04}"), "displayName": format!("app {n}"), "tags": if n % 2 == 0 { json!(["even"]) } else { json!([]) }})).collect()
}

fn page_ids(page: &Page) -> Vec<String> {
    page.items.iter().map(|item| item["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Follows next links over a world that `between` may change after each page.
fn walk(
    first: &str,
    eventual: bool,
    world: &mut Vec<Value>,
    mut between: impl FnMut(&mut Vec<Value>),
) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(raw) = next {
        let page = query(&raw, eventual).unwrap().page(world.iter());
        pages.push(page_ids(&page));
        next = page.next;
        between(world);
        assert!(pages.len() < 100, "endless");
    }
    pages
}

#[test]
fn a_page_holds_100_and_the_next_link_leads_on() {
    let mut world = many(250);
    let sizes: Vec<_> = walk("", false, &mut world, |_| {}).iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let pages = walk("$top=125", false, &mut world, |_| {});
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [125, 125]);
    let all = pages.concat();
    assert_eq!(
        all,
        world.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    );
}

#[test]
fn the_next_link_repeats_the_options_letter_by_letter() {
    let world = many(10);
    let raw = "%24filter=startsWith(displayName%2C'app')&$top=3&$select=id&x=y";
    let next = query(raw, false).unwrap().page(world.iter()).next.unwrap();
    assert!(next.starts_with(&format!("{raw}&$skiptoken=")), "{next}");
    let second = query(&next, false).unwrap().page(world.iter()).next.unwrap();
    assert!(second.starts_with(&format!("{raw}&$skiptoken=")), "{second}");
    assert_eq!(second.matches("skiptoken").count(), 1);
    assert_ne!(next, second);
}

#[test]
fn pages_are_filtered_and_counted_whole() {
    let mut world = many(10);
    let raw = format!("$filter=tags/any(t:t eq 'even')&$top=2{ADVANCED}");
    let page = query(&raw, true).unwrap().page(world.iter());
    assert_eq!((page.count, page_ids(&page)), (Some(5), vec!["0000".into(), "0002".into()]));
    let all = walk(&raw, true, &mut world, |_| {}).concat();
    assert_eq!(all, ["0000", "0002", "0004", "0006", "0008"]);
}

#[test]
fn a_full_last_page_has_no_next_link() {
    let world = many(4);
    let page = query("$top=4", false).unwrap().page(world.iter());
    assert_eq!((page.items.len(), page.next), (4, None));
    assert_eq!(query("$top=5", false).unwrap().page([].iter()).next, None);
}

#[test]
fn things_that_come_and_go_neither_repeat_nor_hide_others() {
    let mut world = many(9);
    let mut fresh = 0;
    let pages = walk("$top=2", false, &mut world, |world| {
        if fresh < 3 {
            world.insert(0, json!({"id": format!("new {fresh}"), "displayName": "n"}));
            fresh += 1;
        }
    });
    assert_eq!(pages.concat(), (0..9).map(|n| format!("{n:04}")).collect::<Vec<_>>());

    // The last item of each page is deleted before the next is asked for.
    let mut world = many(9);
    let mut gone = Vec::new();
    let mut seen = 0;
    let pages = walk("$top=2", false, &mut world, |world| {
        seen += 2;
        if seen < 9 {
            gone.push(world.remove(seen - 1 - gone.len()));
        }
    });
    assert_eq!(pages.concat(), (0..9).map(|n| format!("{n:04}")).collect::<Vec<_>>());
    assert_eq!(gone.len(), 4);
}

#[test]
fn tokens_of_other_queries_and_garbled_ones_are_refused() {
    let world = many(10);
    let next = query("$filter=startsWith(displayName,'app')&$top=3", false)
        .unwrap()
        .page(world.iter())
        .next
        .unwrap();
    let token = next.split("$skiptoken=").nth(1).unwrap();
    query(&format!("$skiptoken={token}&$filter=startsWith(displayName,'app')"), false).unwrap();
    for other in [
        "",
        "&$filter=startsWith(displayName,'b')",
        "&$filter=startsWith(displayName,'app')&$orderby=displayName&$count=true",
    ] {
        let said = why(query(&format!("$skiptoken={token}{other}"), true));
        assert!(said.starts_with("Directory_ExpiredPageToken: "), "{other}: {said}");
    }
    let users = Query::parse(Some(&next), false, &schema::USER, Shape::Collection);
    assert!(why(users).starts_with("Directory_ExpiredPageToken"));
    for garbled in ["", "x", "%25", "AAAA", "Li4", &token[..token.len() / 3]] {
        let said = why(query(&format!("$skiptoken={garbled}"), false));
        assert!(
            said.starts_with("Request_BadRequest: Invalid value for $skiptoken"),
            "{garbled}: {said}"
        );
    }
}

#[test]
fn order_needs_the_header_where_graph_has_no_index() {
    for raw in [
        "$orderby=displayName",
        "$orderby=createdDateTime desc",
        "$orderby=displayName&$count=true",
    ] {
        assert_eq!(
            why(query(raw, false)),
            "Request_UnsupportedQuery: Sorting not supported for current query.",
            "{raw}"
        );
    }
    let users =
        |raw: &str, eventual| Query::parse(Some(raw), eventual, &schema::USER, Shape::Collection);
    users("$orderby=displayName", false).unwrap();
    let both = "$orderby=displayName&$filter=startsWith(displayName,'a')";
    assert!(why(users(both, false)).contains("Sorting not supported for current query."));
    users(&format!("{both}{ADVANCED}"), true).unwrap();
    for (order, part) in [
        ("appId", "Sorting not supported"),
        ("tags", "Sorting not supported"),
        ("nothing", "does not exist as a declared property"),
        ("displayName up", "Syntax error in $orderby"),
        ("displayName asc x", "Syntax error"),
        ("", "Syntax error"),
        ("displayName,", "Syntax error"),
    ] {
        let said = why(query(&format!("$orderby={order}{ADVANCED}"), true));
        assert!(said.contains(part), "{order}: {said}");
    }
}

#[test]
fn order_is_by_name_or_moment_either_way() {
    let sorted = |order: &str| ids(&query(&format!("$orderby={order}{ADVANCED}"), true).unwrap());
    assert_eq!(sorted("displayName"), "2 1 3");
    assert_eq!(sorted("displayName desc"), "3 1 2");
    assert_eq!(sorted("DisplayName ASC"), "2 1 3");
    assert_eq!(sorted("createdDateTime desc"), "3 2 1");
    let users = [
        json!({"id": "1", "displayName": "b", "createdDateTime": "2026-01-01T00:00:00Z"}),
        json!({"id": "2", "displayName": "B", "createdDateTime": "2026-01-01T00:00:00.5Z"}),
        json!({"id": "3", "displayName": null, "createdDateTime": null}),
        json!({"id": "4", "displayName": "a"}),
    ];
    let sorted = |order: &str| {
        let query = Query::parse(
            Some(&format!("$orderby={order}{ADVANCED}")),
            true,
            &schema::USER,
            Shape::Collection,
        )
        .unwrap();
        page_ids(&query.page(users.iter())).join(" ")
    };
    assert_eq!(sorted("displayName,createdDateTime desc"), "3 4 2 1");
    assert_eq!(sorted("displayName desc"), "1 2 4 3");
    assert_eq!(sorted("createdDateTime"), "3 4 1 2");
}

#[test]
fn sorted_pages_follow_each_other() {
    let mut world = many(25);
    let raw = format!("$orderby=displayName desc&$top=10{ADVANCED}");
    let all = walk(&raw, true, &mut world, |_| {}).concat();
    let mut wanted: Vec<_> = (0..25).map(|n| (format!("app {n}"), format!("{n:04}"))).collect();
    wanted.sort();
    wanted.reverse();
    assert_eq!(all, wanted.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}
