//! The subject of an instance's certificate, which names its tenancy.
//!
//! Pure. Owns the shapes that are known of real subjects and the search for the tenancy. Invariant:
//! the tenancy is read from a subject of any of these shapes, and attributes keep their order.

use super::super::state_dir::{COMPARTMENT, INSTANCE};
use super::certificate::{Attribute, Name};
use serde::Deserialize;

const TENANT: &str = "opc-tenant:";
const IDENTITY: &str = "opc-identity:";

/// The shape of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectShape {
    /// Five names of one attribute each.
    #[default]
    SingleValued,
    /// One name of four attributes, not in the order that DER demands, and the common name.
    MultiValued,
    /// A common name, and the tenancy as `O=opc-identity:`.
    OpcIdentity,
}

impl SubjectShape {
    /// The subject of the server's instance in a tenancy.
    pub fn subject(self, tenancy: &str) -> Name {
        let unit = |text: String| (Attribute::OrganizationalUnit, text);
        let certtype = unit("opc-certtype:instance".to_owned());
        let compartment = unit(format!("opc-compartment:{COMPARTMENT}"));
        let instance = unit(format!("opc-instance:{INSTANCE}"));
        let tenant = unit(format!("{TENANT}{tenancy}"));
        let common_name = (Attribute::CommonName, INSTANCE.to_owned());
        match self {
            SubjectShape::SingleValued => [common_name, certtype, compartment, instance, tenant]
                .into_iter()
                .map(|attribute| vec![attribute])
                .collect(),
            SubjectShape::MultiValued => {
                vec![vec![certtype, instance, compartment, tenant], vec![common_name]]
            }
            SubjectShape::OpcIdentity => vec![
                vec![(Attribute::CommonName, "service".to_owned())],
                vec![(Attribute::Organization, format!("{IDENTITY}{tenancy}"))],
            ],
        }
    }
}

/// The tenancy that a subject names, given in DER; `None` if it names none.
pub(super) fn tenancy(subject: &[u8]) -> Option<String> {
    // BER does not demand an order of the attributes, which real subjects do not keep.
    let mut found = None;
    yasna::parse_ber(subject, |reader| {
        reader.read_sequence_of(|names| {
            names.read_set_of(|attributes| {
                attributes.read_sequence(|attribute| {
                    attribute.next().read_oid()?;
                    let value = attribute.next().read_tagged_der()?;
                    let text = str::from_utf8(value.value()).unwrap_or("");
                    let named = [TENANT, IDENTITY].iter().find_map(|key| text.strip_prefix(key));
                    found = found.take().or_else(|| named.map(str::to_owned));
                    Ok(())
                })
            })
        })
    })
    .ok()?;
    found
}
