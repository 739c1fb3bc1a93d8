//! The data types of the admin API: what its JSON holds, made `From` the types of the rooms below. The admin listener sends
//! them and the commands read them again. Only this room knows `utoipa` and the wire form of a value; it knows no HTTP.

mod asset;
mod catalog;
mod check;
mod collection;
mod host;
mod identity;
mod job;
mod plan;
mod problem;
mod release;
mod status;
mod text;
mod traffic;
mod word;

pub use asset::{AssetList, AssetState, AssetView, Evicted};
pub use catalog::{
    CatalogView, LastReload, LastReloadOutcome, ReloadOutcome, ReloadTrigger, ReloadView, SourceKind, SourceView,
};
pub use check::{CheckCounts, CheckOrder, CheckRowView, FindingView};
pub use collection::{CollectionList, CollectionView, DirectoryView, FileView};
pub use host::{BootView, Forgotten, HostList, MachineView, StepView};
pub use identity::IdentityView;
pub use job::{Assets, Bytes, ItemView, JobItem, JobList, JobView, PreloadOrder};
pub use plan::{Cached, Missing, Plan, PlanItem, Room};
pub use problem::Problem;
pub use release::{ReleaseList, ReleaseView};
pub use status::{
    Active, Amount, ByProtocol, CacheView, Listener, OriginTrouble, OriginView, SealView, Status, Totals,
};
pub use traffic::{FillList, FillView, PastFill, PastTransfer, TransferList, TransferView};
