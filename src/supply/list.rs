//! Lists a bucket, page by page.

use http::Method;

use super::error::StoreError;
use super::listing::{ListPage, ListedObject};
use super::store::Store;
use super::xml::{self, ListObjects};
use crate::origin::{Call, HtmlPage};

/// The root element of a listing.
const ROOT: &[u8] = b"ListBucketResult";

impl Store {
    /// Lists a page of at most 1,000 objects whose key begins with `prefix` (`ListObjectsV2`). With a delimiter, keys that have it
    /// after the prefix are grouped in [`ListPage::prefixes`]. `from` is the [`ListPage::next`] of the page before.
    pub async fn list_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        from: Option<&str>,
    ) -> Result<ListPage, StoreError> {
        let mut call = Call::new(Method::GET, "").query("list-type", "2").query("prefix", prefix);
        if let Some(delimiter) = delimiter {
            call = call.query("delimiter", delimiter);
        }
        if let Some(from) = from {
            call = call.query("continuation-token", from);
        }
        let reply = self.send(call).await?;
        // Anything else, such as a web page, would pass for the listing of an empty bucket.
        if !reply.body.windows(ROOT.len()).any(|piece| piece == ROOT) {
            let found = HtmlPage::parse(&reply.body).map_or_else(|| "another document".to_owned(), |it| it.to_string());
            let reason = format!("{found} in place of a listing; check that {} is an S3 server", self.endpoint());
            return Err(StoreError::BadReply { url: self.url(""), reason });
        }
        let list: ListObjects = xml::parse(&self.url(""), &reply.body)?;
        Ok(list.into_page())
    }

    /// Lists all objects whose key begins with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, StoreError> {
        let mut page = self.list_page(prefix, None, None).await?;
        let mut objects = page.objects;
        while let Some(from) = page.next {
            page = self.list_page(prefix, None, Some(&from)).await?;
            objects.append(&mut page.objects);
        }
        Ok(objects)
    }
}
