//! Commands in advice, with the flags that lead to the same fleet in the same place.

/// The verbs that look for a fleet, as they follow our name.
const OF_A_FLEET: &[&str] = &[
    "plan",
    "apply",
    "consent",
    "status",
    "explain",
    "attest",
    "rotate",
    "adopt",
    "offboard",
    "doctor",
    "export",
    "incidents",
    "reveal",
    "vault init",
    "vault copy",
    "tokens refresh",
];

/// Puts the flags that lead to a fleet behind every verb of ours in a text that has none yet.
pub(super) fn placed(text: &str, place: &str) -> String {
    if place.is_empty() || text.contains(place) {
        return text.to_owned();
    }
    let mut text = text.to_owned();
    for verb in OF_A_FLEET {
        let command = format!("tenantry {verb}");
        let mut from = 0;
        while let Some(at) = text[from..].find(&command).map(|at| from + at + command.len()) {
            from = at;
            // Not `tenantry planner`.
            if !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-') {
                text.insert_str(at, &format!(" {place}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::placed;

    #[test]
    fn commands_in_advice_reach_the_same_fleet() {
        let place = "-f a.yaml --sandbox";
        for (advice, pasted) in [
            (
                "look with tenantry plan --full, then `tenantry vault init`",
                "look with tenantry plan -f a.yaml --sandbox --full, then `tenantry vault init -f a.yaml --sandbox`",
            ),
            ("tenantry planner", "tenantry planner"),
            ("tenantry explain -f a.yaml --sandbox x", "tenantry explain -f a.yaml --sandbox x"),
            ("tenantry schema", "tenantry schema"),
        ] {
            assert_eq!(placed(advice, place), pasted);
        }
        assert_eq!(placed("tenantry plan", ""), "tenantry plan");
    }
}
