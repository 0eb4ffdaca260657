//! A manifest from the list of customers that a provider already has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::ids::FleetName;

use super::{
    LARGEST,
    entry::{fields_of, head_of, key_of, quoted},
    parse,
    starter::starter,
};

/// A manifest that was made of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The manifest's text; it is valid.
    pub text: String,
    /// How many customers it has.
    pub customers: usize,
    /// Columns that no field of the manifest stands for.
    pub unused: Vec<String>,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Key,
    Field(&'static str),
    Label(String),
    Unused,
}

/// The names that a column may have, without case, blanks and punctuation; among them those of the
/// customer list that Partner Center exports
/// (<https://learn.microsoft.com/en-us/partner-center/customers/customers-list>).
const NAMES: &[(&str, &[&str])] = &[
    ("key", &["key"]),
    ("name", &["name", "customer", "customername", "company", "companyname", "displayname"]),
    ("domain", &["domain", "domainname", "primarydomain", "primarydomainname", "defaultdomain"]),
    ("id", &["id", "tenantid", "customertenantid", "directoryid", "microsoftid", "tenant"]),
    ("connector", &["connector"]),
    ("signInAs", &["signinas", "analyst"]),
    ("app", &["app", "sharedapp"]),
];

impl Column {
    fn of(title: &str) -> Self {
        let title = title.trim().trim_start_matches('\u{feff}');
        for mark in ["label:", "label."] {
            if let Some(rest) = title.to_ascii_lowercase().strip_prefix(mark) {
                return Self::Label(rest.trim().to_owned());
            }
        }
        let plain: String =
            title.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        match NAMES.iter().find(|(_, names)| names.contains(&plain.as_str())) {
            Some(("key", _)) => Self::Key,
            Some((field, _)) => Self::Field(field),
            None => Self::Unused,
        }
    }
}

/// Makes a manifest of a list of customers: CSV with a line of titles, its fields parted by commas,
/// semicolons or tabs. Each customer has a name, and a domain or a tenant id.
///
/// # Errors
/// Everything that is wrong, a line each, with its place in the list.
pub fn of_customers(
    fleet: &FleetName,
    home: &str,
    file: &Path,
    csv: &[u8],
) -> Result<Listed, Vec<String>> {
    let at = |line: u64, why: &str| vec![format!("{}:{line}: {why}", file.display())];
    if csv.len() > LARGEST {
        return Err(at(1, "it is larger than any list of customers"));
    }
    let head = starter(fleet, home).map_err(|why| at(1, &why))?;
    let (head, _) = head.split_once("\ntenants:").unwrap_or((&head, ""));
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter(csv)).flexible(true).from_reader(csv);
    let broken = |error: csv::Error| {
        at(error.position().map_or(1, csv::Position::line), &format!("it is no CSV: {error}"))
    };
    let titles = reader.headers().map_err(broken)?.clone();
    let columns: Vec<Column> = titles.iter().map(Column::of).collect();
    let has = |wanted: &'static str| columns.contains(&Column::Field(wanted));
    if !has("domain") && !has("id") {
        return Err(at(
            1,
            &format!(
                "no column is a domain or a tenant id; the titles are {}",
                titles.iter().collect::<Vec<_>>().join(", ")
            ),
        ));
    }
    let mut told = BTreeSet::new();
    for title in titles.iter().map(str::trim).filter(|title| !title.is_empty()) {
        if !told.insert(title.to_ascii_lowercase()) {
            return Err(at(1, &format!("there are two columns called {title}")));
        }
    }
    let (mut text, mut places, mut taken) =
        (format!("{head}\ntenants:\n"), Vec::new(), BTreeSet::new());
    let (mut customers, mut rows, mut line) = (0, Lines::of(csv), text.lines().count() + 1);
    for row in reader.records() {
        let row = row.map_err(broken)?;
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let customer = Customer::of(&columns, &row);
        let row = row.position().map_or(1, |position| rows.at(position.byte()));
        let entry = customer.entry(&mut taken);
        places.push((line, row));
        line += entry.lines().count();
        text.push_str(&entry);
        customers += 1;
    }
    if customers == 0 {
        return Err(at(2, "it has no customers below its titles"));
    }
    if let Err(mistakes) = parse(vec![(PathBuf::from("tenantry.yaml"), text.clone().into_bytes())])
    {
        let told = mistakes.list().iter().map(|mistake| {
            let line = mistake.place.line;
            let row =
                places.iter().rev().find(|(start, _)| *start <= line).map_or(1, |(_, row)| *row);
            let label = if mistake.label.is_empty() {
                String::new()
            } else {
                format!(" ({})", mistake.label)
            };
            format!("{}:{row}: {}{label}", file.display(), mistake.sentence())
        });
        return Err(told.collect());
    }
    let unused = titles
        .iter()
        .zip(&columns)
        .filter(|(_, column)| **column == Column::Unused)
        .map(|(title, _)| title.trim().to_owned())
        .collect();
    Ok(Listed { text, customers, unused })
}

/// The lines of a text, asked for from its beginning to its end, so that they are counted once.
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, counted: 0, line: 1 }
    }

    /// The line on which the record that begins at or after a byte stands: empty lines before it are
    /// not its own.
    fn at(&mut self, byte: u64) -> usize {
        let from = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.counted, self.text.len());
        let empty = self.text[from..].iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        let until = from + empty;
        self.line += self.text[self.counted..until].iter().filter(|b| **b == b'\n').count();
        self.counted = until;
        self.line
    }
}

/// What parts the fields of the first line.
fn delimiter(csv: &[u8]) -> u8 {
    let first = csv.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| first.iter().filter(|byte| **byte == wanted).count();
    [b';', b'\t'].into_iter().find(|byte| count(*byte) > count(b',')).unwrap_or(b',')
}

/// One line of the list.
#[derive(Debug, Default)]
struct Customer {
    key: Option<String>,
    fields: BTreeMap<&'static str, String>,
    labels: BTreeMap<String, String>,
}

impl Customer {
    fn of(columns: &[Column], row: &csv::StringRecord) -> Self {
        let mut customer = Self::default();
        for (column, cell) in columns.iter().zip(row) {
            let cell = cell.trim().to_owned();
            if cell.is_empty() {
                continue;
            }
            match column {
                Column::Key => customer.key = Some(cell),
                Column::Field(field) => {
                    customer.fields.entry(field).or_insert(cell);
                }
                Column::Label(name) => {
                    customer.labels.insert(name.clone(), cell);
                }
                Column::Unused => {}
            }
        }
        customer
    }

    /// Its key: the given one, or the first label of its domain, or its name; made unlike the others.
    fn key(&self, taken: &mut BTreeSet<String>) -> String {
        // A key that somebody gave twice is a mistake that the manifest's own rules find.
        self.key.clone().unwrap_or_else(|| {
            let of_domain = self.fields.get("domain").and_then(|domain| domain.split('.').next());
            key_of([of_domain, self.fields.get("name").map(String::as_str)], taken)
        })
    }

    fn entry(&self, taken: &mut BTreeSet<String>) -> String {
        let mut text = head_of(&self.key(taken));
        text.push_str(&fields_of(&self.fields));
        if !self.labels.is_empty() {
            let labels = self
                .labels
                .iter()
                .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
            text.push_str(&format!("    labels: {{{}}}\n", labels.collect::<Vec<_>>().join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(csv: &str) -> Result<Listed, Vec<String>> {
        of_customers(
            &"acme-soc".parse().unwrap(),
            "acme-soc.example",
            Path::new("c.csv"),
            csv.as_bytes(),
        )
    }

    fn keys(csv: &str) -> Vec<String> {
        let listed = made(csv).unwrap_or_else(|why| panic!("{why:?}"));
        let manifest = parse(vec![(PathBuf::from("t.yaml"), listed.text.into_bytes())]).unwrap();
        assert_eq!(manifest.tenants.len(), listed.customers);
        manifest.tenants.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_becomes_a_manifest() {
        let listed = made(
            "Name,Domain,label:region,Phone\nContoso,contoso.example,eu,1\n\n\"Bücher & \"\"Söhne\"\"\",buecher.example,,2\n",
        )
        .unwrap();
        assert_eq!((listed.customers, listed.unused.as_slice()), (2, &["Phone".to_owned()][..]));
        assert!(listed.text.contains("fleet: acme-soc"), "{}", listed.text);
        let manifest = parse(vec![(PathBuf::from("t.yaml"), listed.text.into_bytes())]).unwrap();
        let contoso = &manifest.tenants[&"contoso".parse().unwrap()];
        assert_eq!(contoso.name, "Contoso");
        assert_eq!(contoso.labels["region"], "eu");
        assert_eq!(manifest.tenants[&"buecher".parse().unwrap()].name, "Bücher & \"Söhne\"");
    }

    #[test]
    fn what_partner_center_and_spreadsheets_write_is_taken() {
        let partner = "\u{feff}Microsoft ID;Company name;Primary domain name;Relationship\r\n\
            6f1c0f5e-0000-4000-8000-000000000001;Contoso;contoso.onmicrosoft.com;Cloud Reseller\r\n";
        assert_eq!(keys(partner), ["contoso"]);
        assert_eq!(
            keys("tenant_id\tname\n6f1c0f5e-0000-4000-8000-000000000001\tAcme 24/7 GmbH\n"),
            ["acme-24-7-gmbh"]
        );
        let alike = "name,domain\nA,x.example\nB,x.test\nC,x.invalid\n";
        assert_eq!(keys(alike), ["x", "x-2", "x-3"]);
        assert_eq!(keys("key,name,domain\nmine,A,x.example\n"), ["mine"]);
        assert_eq!(keys("name,domain\nNo,no.example\n株式会社,jp.example\n"), ["jp", "no"]);
    }

    #[test]
    fn mistakes_are_told_by_their_lines_in_the_list() {
        for (csv, told) in [
            ("name,phone\nA,1\n", "c.csv:1: no column is a domain or a tenant id"),
            ("name,domain\n", "c.csv:2: it has no customers"),
            ("name,domain\nA,a.example\nB,not a domain\n", "c.csv:3: "),
            ("name,domain,connector\nA,a.example,graph-securty\n", "c.csv:2: "),
            ("name,domain\nA,a.example\n\nA again,a.example\n", "c.csv:4: "),
            ("name,id\nA,\n", "c.csv:2: "),
            ("key,domain\nNot A Key,a.example\n", "c.csv:2: "),
            ("name,domain\n\"A\u{202e}B\",a.example\n", "c.csv:2: "),
        ] {
            let why = made(csv).unwrap_err();
            assert!(why[0].starts_with(told), "{csv}: {why:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_a_cell_stays_in_its_field(name in "\\PC{1,40}", region in "[a-z:{}#&*!|>'\"%@`, -]{0,20}") {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["name", "domain", "label:region"]).unwrap();
            csv.write_record([name.as_str(), "a.example", region.as_str()]).unwrap();
            let csv = csv.into_inner().unwrap();
            let listed = of_customers(&"acme-soc".parse().unwrap(), "acme-soc.example", Path::new("c.csv"), &csv);
            if let Ok(listed) = listed {
                let manifest = parse(vec![(PathBuf::from("t.yaml"), listed.text.into_bytes())]).unwrap();
                proptest::prop_assert_eq!(manifest.tenants.len(), 1);
                let tenant = manifest.tenants.values().next().unwrap();
                if !name.trim().is_empty() {
                    proptest::prop_assert_eq!(&tenant.name, name.trim());
                }
            }
        }
    }
}
