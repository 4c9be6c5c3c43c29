//! Maps of a document in which no name stands twice: read into a map, the last would win unseen.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

struct Once<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Once<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some(name) = entries.next_key::<K>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands here twice")));
            }
            let value = entries.next_value()?;
            read.insert(name, value);
        }
        Ok(read)
    }
}

/// Reads a map that names everything once.
///
/// # Errors
/// If something of it does not fit, or a name stands there twice.
pub(in crate::policy) fn once<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(Once(PhantomData))
}
