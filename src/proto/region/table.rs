//! The built-in regions by realm: name and three-letter code.
//!
//! Owns the table only. A region that is missing works if the user defines it (`OCI_REGION_METADATA`,
//! `regions-config.json`, `--endpoint`). Invariant: each name and each code occurs once.

/// The regions of one realm.
type Regions = &'static [(&'static str, &'static str)];

/// The domain of each realm and its regions.
#[rustfmt::skip]
pub(super) const REALMS: &[(&str, Regions)] = &[
    // oc1
    ("oraclecloud.com", &[
        ("ap-chuncheon-1", "yny"), ("ap-hyderabad-1", "hyd"), ("ap-melbourne-1", "mel"),
        ("ap-mumbai-1", "bom"), ("ap-osaka-1", "kix"), ("ap-seoul-1", "icn"),
        ("ap-sydney-1", "syd"), ("ap-tokyo-1", "nrt"), ("ca-montreal-1", "yul"),
        ("ca-toronto-1", "yyz"), ("eu-amsterdam-1", "ams"), ("eu-frankfurt-1", "fra"),
        ("eu-zurich-1", "zrh"), ("me-jeddah-1", "jed"), ("me-dubai-1", "dxb"),
        ("sa-saopaulo-1", "gru"), ("uk-cardiff-1", "cwl"), ("uk-london-1", "lhr"),
        ("us-ashburn-1", "iad"), ("us-phoenix-1", "phx"), ("us-sanjose-1", "sjc"),
        ("sa-vinhedo-1", "vcp"), ("sa-santiago-1", "scl"), ("il-jerusalem-1", "mtz"),
        ("eu-marseille-1", "mrs"), ("ap-singapore-1", "sin"), ("me-abudhabi-1", "auh"),
        ("eu-milan-1", "lin"), ("eu-stockholm-1", "arn"), ("af-johannesburg-1", "jnb"),
        ("eu-paris-1", "cdg"), ("mx-queretaro-1", "qro"), ("eu-madrid-1", "mad"),
        ("us-chicago-1", "ord"), ("mx-monterrey-1", "mty"), ("us-saltlake-2", "aga"),
        ("sa-bogota-1", "bog"), ("sa-valparaiso-1", "vap"), ("ap-singapore-2", "xsp"),
        ("me-riyadh-1", "ruh"), ("ap-delhi-1", "onm"), ("ap-batam-1", "hsg"),
        ("eu-madrid-3", "orf"), ("eu-turin-1", "nrq"), ("ap-kulai-2", "jbp"),
        ("af-casablanca-1", "lej"),
    ]),
    // oc2
    ("oraclegovcloud.com", &[
        ("us-langley-1", "lfi"), ("us-luke-1", "luf"),
    ]),
    // oc3
    ("oraclegovcloud.com", &[
        ("us-gov-ashburn-1", "ric"), ("us-gov-chicago-1", "pia"), ("us-gov-phoenix-1", "tus"),
    ]),
    // oc4
    ("oraclegovcloud.uk", &[
        ("uk-gov-london-1", "ltn"), ("uk-gov-cardiff-1", "brs"),
    ]),
    // oc8
    ("oraclecloud8.com", &[
        ("ap-chiyoda-1", "nja"), ("ap-ibaraki-1", "ukb"),
    ]),
    // oc9
    ("oraclecloud9.com", &[
        ("me-dcc-muscat-1", "mct"), ("me-ibri-1", "ibr"),
    ]),
    // oc10
    ("oraclecloud10.com", &[
        ("ap-dcc-canberra-1", "wga"),
    ]),
    // oc14
    ("oraclecloud14.com", &[
        ("eu-dcc-milan-1", "bgy"), ("eu-dcc-milan-2", "mxp"), ("eu-dcc-dublin-2", "snn"),
        ("eu-dcc-rating-2", "dtm"), ("eu-dcc-rating-1", "dus"), ("eu-dcc-dublin-1", "ork"),
    ]),
    // oc15
    ("oraclecloud15.com", &[
        ("ap-dcc-gazipur-1", "dac"),
    ]),
    // oc19
    ("oraclecloud.eu", &[
        ("eu-madrid-2", "vll"), ("eu-frankfurt-2", "str"),
    ]),
    // oc20
    ("oraclecloud20.com", &[
        ("eu-jovanovac-1", "beg"),
    ]),
    // oc21
    ("oraclecloud21.com", &[
        ("me-dcc-doha-1", "doh"), ("me-alrayyan-1", "vve"),
    ]),
    // oc23
    ("oraclecloud23.com", &[
        ("us-somerset-1", "ebb"), ("us-thames-1", "ebl"),
    ]),
    // oc24
    ("oraclecloud24.com", &[
        ("eu-dcc-zurich-1", "avz"), ("eu-crissier-1", "avf"),
    ]),
    // oc26
    ("oraclecloud26.com", &[
        ("me-abudhabi-3", "ahu"), ("me-alain-1", "rba"),
    ]),
    // oc29
    ("oraclecloud29.com", &[
        ("me-abudhabi-2", "rkt"), ("me-abudhabi-4", "shj"),
    ]),
    // oc35
    ("oraclecloud35.com", &[
        ("ap-seoul-2", "dtz"), ("ap-suwon-1", "dln"), ("ap-chuncheon-2", "bno"),
    ]),
    // oc42
    ("oraclecloud42.com", &[
        ("us-ashburn-2", "yxj"), ("us-newark-1", "pgc"),
    ]),
    // oc51
    ("oraclecloud51.com", &[
        ("eu-budapest-1", "jsk"),
    ]),
    // oc52
    ("oraclecloud52.com", &[
        ("sa-riodejaneiro-1", "hnw"),
    ]),
];

/// Name and realm domain of a region, by its name or its code.
pub(super) fn find(text: &str) -> Option<(&'static str, &'static str)> {
    REALMS.iter().find_map(|(realm, regions)| {
        let (name, _) = regions.iter().find(|(name, code)| *name == text || *code == text)?;
        Some((*name, *realm))
    })
}
