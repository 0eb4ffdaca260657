//! What a provider has with its customers, against a server that says what it is told.

use super::*;

/// Where the server is, as the client named it.
fn base(heard: &Heard) -> String {
    let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    format!("https://{}", host.trim())
}

const RELATIONSHIPS: &str = "GET /v1.0/tenantRelationships/delegatedAdminRelationships?$top=300";

fn relationship(n: u32, status: &str, more: &Value) -> Value {
    let mut item = json!({
        "@odata.type": "#microsoft.graph.resellerDelegatedAdminRelationship", "@odata.etag": "W/\"x\"",
        "id": n.to_string(), "displayName": format!("Relationship {n}"), "status": status,
        "customer": {"tenantId": format!("0d6d0000-0000-4000-8000-0000{n:08x}"), "displayName": format!("Customer {n}")},
        "autoExtendDuration": "PT0S", "endDateTime": "2027-02-10T11:24:42.3148266Z",
        "isPartnerConsentPending": true,
    });
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

fn customer(n: u32) -> TenantId {
    format!("0d6d0000-0000-4000-8000-0000{n:08x}").parse().unwrap()
}

#[tokio::test]
async fn relationships_of_all_pages_become_customers_each_once() {
    let server = serve(|heard, n| {
        let items = match n {
            0 => vec![
                relationship(1, "active", &json!({})),
                relationship(2, "expired", &json!({})),
                relationship(2, "active", &json!({"endDateTime": "2027-01-01T00:00:00Z"})),
            ],
            _ => vec![
                relationship(1, "active", &json!({"autoExtendDuration": "P180D"})),
                relationship(2, "active", &json!({"endDateTime": "2027-03-01T00:00:00Z", "customer": {"tenantId": "0d6d0000-0000-4000-8000-000000000002", "displayName": null}})),
                relationship(3, "approvalPending", &json!({"endDateTime": null})),
                relationship(3, "approvalPending", &json!({})),
                relationship(4, "created", &json!({"customer": null})),
                relationship(5, "somethingNew", &json!({"customer": {"tenantId": "not a guid"}})),
                relationship(6, "active", &json!({"customer": null})),
                json!({"id": "7"}),
            ],
        };
        let next = (n == 0).then(|| format!("{}{}&$skiptoken=x", base(heard), heard.target));
        Reply::json(200, json!({"value": items, "@odata.nextLink": next}))
    })
    .await;
    let Relationships { active, others } = reader(&server).relationships().await.unwrap();
    assert_eq!(asked(&server).len(), 2);
    assert_eq!(asked(&server)[0], RELATIONSHIPS);
    let ends: Vec<_> =
        active.iter().map(|c| (c.name.as_str(), c.ends.map(|t| t.to_string()))).collect();
    assert_eq!(
        ends,
        [("Customer 1", None), ("Customer 2", Some("2027-03-01T00:00:00Z".to_owned()))]
    );
    let told: Vec<_> =
        others.iter().map(|o| (o.tenant, o.name.as_str(), o.status.as_str())).collect();
    assert_eq!(
        told,
        [
            (None, "", ""),
            (None, "Relationship 4", "created"),
            (None, "Relationship 5", "somethingNew"),
            (None, "Relationship 6", "active"),
            (Some(customer(3)), "Customer 3", "approvalPending"),
        ]
    );
}

fn information(heard: &Heard, domain: &str) -> Reply {
    let id = heard.target.split("%27").nth(1).or(heard.target.split('\'').nth(1)).unwrap();
    Reply::json(200, json!({"tenantId": id, "displayName": "x", "defaultDomainName": domain}))
}

#[tokio::test]
async fn domains_are_looked_up_side_by_side_and_one_refusal_ends_it() {
    let tenants: Vec<TenantId> = (1..=40).map(customer).collect();
    let refused = || {
        Reply::json(403, json!({"error": {"code": "Authorization_RequestDenied", "message": "no"}}))
    };
    let server = serve(move |_, _| refused()).await;
    let found = default_domains(&reader(&server), &tenants, 8).await.unwrap();
    assert_eq!(found.refused.unwrap().cause, Cause::Privilege);
    assert_eq!(asked(&server).len(), 1);

    let server = serve(|heard, n| match n {
        3 => Reply::json(
            404,
            json!({"error": {"code": "Request_ResourceNotFound", "message": "no"}}),
        ),
        5 => Reply::json(200, json!({"tenantId": HOME, "defaultDomainName": "another.example"})),
        _ => information(heard, "a.example"),
    })
    .await;
    let found = default_domains(&reader(&server), &tenants, 8).await.unwrap();
    assert_eq!((found.known.len(), found.refused), (38, None));
    assert!(!found.known.values().any(|domain| domain == "another.example"));
    assert_eq!(
        asked(&server)[0],
        format!(
            "GET /v1.0/tenantRelationships/findTenantInformationByTenantId(tenantId='{}')",
            customer(1)
        )
    );
    assert_eq!(default_domains(&reader(&server), &[], 8).await.unwrap(), Domains::default());
}
