//! The operations by name: what faults are scripted for and what the request log says.

/// Which of Microsoft's services an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Entra ID.
    Login,
    /// Microsoft Graph.
    Graph,
    /// The Defender XDR API.
    Defender,
    /// Azure Key Vault.
    Vault,
    /// Azure Resource Manager, as far as Azure CLI needs it to sign in.
    Arm,
    /// Pages for people.
    Pages,
    /// The sandbox's own control: no fault touches it.
    Control,
}

/// What an operation does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Read,
    /// It changes something, when it succeeds.
    Write,
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $service:ident, $effect:ident;)*) => {
        /// One operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Operation { $($(#[doc = $doc])* $variant,)* }

        impl Operation {
            /// All of them, in the order of the table.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in faults and in the request log.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its service.
            pub(super) const fn service(self) -> Service {
                match self { $(Self::$variant => Service::$service,)* }
            }

            /// Whether it changes the world.
            pub(super) const fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)* }
            }
        }
    };
}

operations! {
    Token = "login.token", Login, Read;
    OpenidConfiguration = "login.openidConfiguration", Login, Read;
    InstanceDiscovery = "login.instanceDiscovery", Login, Read;
    SigningKeys = "login.signingKeys", Login, Read;
    /// A person's browser at the authorize endpoint; `*` does not count it.
    Authorize = "login.authorize", Login, Write;
    /// An administrator's browser at a consent endpoint; `*` does not count it.
    AdminConsent = "login.adminConsent", Login, Write;
    LoginPage = "login.page", Login, Read;

    ListApplications = "application.list", Graph, Read;
    GetApplication = "application.get", Graph, Read;
    CreateApplication = "application.create", Graph, Write;
    /// PATCH by `uniqueName`.
    UpsertApplication = "application.upsert", Graph, Write;
    UpdateApplication = "application.update", Graph, Write;
    DeleteApplication = "application.delete", Graph, Write;
    AddPassword = "application.addPassword", Graph, Write;
    RemovePassword = "application.removePassword", Graph, Write;
    ListOwners = "application.listOwners", Graph, Read;
    AddOwner = "application.addOwner", Graph, Write;
    RemoveOwner = "application.removeOwner", Graph, Write;
    ListFederated = "application.listFederatedCredentials", Graph, Read;
    GetFederated = "application.getFederatedCredential", Graph, Read;
    AddFederated = "application.addFederatedCredential", Graph, Write;
    UpdateFederated = "application.updateFederatedCredential", Graph, Write;
    RemoveFederated = "application.removeFederatedCredential", Graph, Write;
    ListApplicationPolicies = "application.listPolicies", Graph, Read;
    AssignPolicy = "application.assignPolicy", Graph, Write;
    UnassignPolicy = "application.unassignPolicy", Graph, Write;

    ListDeletedItems = "deletedItem.list", Graph, Read;
    GetDeletedItem = "deletedItem.get", Graph, Read;
    RestoreDeletedItem = "deletedItem.restore", Graph, Write;
    PurgeDeletedItem = "deletedItem.purge", Graph, Write;

    ListServicePrincipals = "servicePrincipal.list", Graph, Read;
    GetServicePrincipal = "servicePrincipal.get", Graph, Read;
    CreateServicePrincipal = "servicePrincipal.create", Graph, Write;
    UpdateServicePrincipal = "servicePrincipal.update", Graph, Write;
    DeleteServicePrincipal = "servicePrincipal.delete", Graph, Write;
    ListServicePrincipalOwners = "servicePrincipal.listOwners", Graph, Read;
    ListServicePrincipalGrants = "servicePrincipal.listGrants", Graph, Read;
    /// What was granted to a service principal.
    ListAppRoleAssignments = "appRoleAssignment.list", Graph, Read;
    /// Who holds the roles of a resource.
    ListAppRoleAssignedTo = "appRoleAssignment.listAssignedTo", Graph, Read;
    GetAppRoleAssignment = "appRoleAssignment.get", Graph, Read;
    CreateAppRoleAssignment = "appRoleAssignment.create", Graph, Write;
    DeleteAppRoleAssignment = "appRoleAssignment.delete", Graph, Write;

    ListGrants = "oauth2PermissionGrant.list", Graph, Read;
    GetGrant = "oauth2PermissionGrant.get", Graph, Read;
    CreateGrant = "oauth2PermissionGrant.create", Graph, Write;
    UpdateGrant = "oauth2PermissionGrant.update", Graph, Write;
    DeleteGrant = "oauth2PermissionGrant.delete", Graph, Write;

    ListOrganizations = "organization.list", Graph, Read;
    GetOrganization = "organization.get", Graph, Read;
    ListDomains = "domain.list", Graph, Read;
    GetDomain = "domain.get", Graph, Read;
    ListUsers = "user.list", Graph, Read;
    GetUser = "user.get", Graph, Read;
    GetDirectoryObject = "directoryObject.get", Graph, Read;

    GetDefaultPolicy = "policy.getDefault", Graph, Read;
    UpdateDefaultPolicy = "policy.updateDefault", Graph, Write;
    ListPolicies = "policy.list", Graph, Read;
    GetPolicy = "policy.get", Graph, Read;
    CreatePolicy = "policy.create", Graph, Write;
    UpdatePolicy = "policy.update", Graph, Write;
    DeletePolicy = "policy.delete", Graph, Write;
    ListPolicyTargets = "policy.listAppliesTo", Graph, Read;

    FindTenantById = "tenant.findById", Graph, Read;
    FindTenantByDomain = "tenant.findByDomain", Graph, Read;

    ListRelationships = "delegatedAdminRelationship.list", Graph, Read;
    GetRelationship = "delegatedAdminRelationship.get", Graph, Read;

    ListIncidents = "incident.list", Graph, Read;
    GetIncident = "incident.get", Graph, Read;
    ListAlerts = "alert.list", Graph, Read;
    GetAlert = "alert.get", Graph, Read;

    /// The envelope; each request in it is an operation of its own.
    Batch = "batch", Graph, Read;
    /// A path or method that Graph does not know.
    UnknownGraph = "graph.unknown", Graph, Read;

    ListDefenderIncidents = "defender.listIncidents", Defender, Read;
    GetDefenderIncident = "defender.getIncident", Defender, Read;
    UnknownDefender = "defender.unknown", Defender, Read;

    SetSecret = "vault.setSecret", Vault, Write;
    GetSecret = "vault.getSecret", Vault, Read;
    UpdateSecret = "vault.updateSecret", Vault, Write;
    DeleteSecret = "vault.deleteSecret", Vault, Write;
    ListSecrets = "vault.listSecrets", Vault, Read;
    ListSecretVersions = "vault.listVersions", Vault, Read;
    ListDeletedSecrets = "vault.listDeleted", Vault, Read;
    GetDeletedSecret = "vault.getDeleted", Vault, Read;
    RecoverSecret = "vault.recover", Vault, Write;
    PurgeSecret = "vault.purge", Vault, Write;
    BackupSecret = "vault.backup", Vault, Read;
    RestoreSecret = "vault.restore", Vault, Write;
    UnknownVault = "vault.unknown", Vault, Read;

    ArmMetadata = "arm.metadata", Arm, Read;
    ArmSubscriptions = "arm.subscriptions", Arm, Read;
    ArmTenants = "arm.tenants", Arm, Read;

    Page = "page", Pages, Read;
    Control = "sandbox.control", Control, Read;
}

impl Operation {
    /// The operation of that name, where faults may be scripted for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|o| o.name() == name && o.is_scriptable())
    }

    /// Whether faults may be scripted for it.
    pub(super) const fn is_scriptable(self) -> bool {
        match self.service() {
            Service::Login | Service::Graph | Service::Defender | Service::Vault | Service::Arm => {
                true
            }
            Service::Pages | Service::Control => false,
        }
    }

    /// Whether a person's browser asks it, so that `*`, which stands for clients, leaves it out.
    pub(super) const fn is_a_persons(self) -> bool {
        matches!(self, Self::Authorize | Self::AdminConsent)
    }

    /// Whether it is a write to Microsoft Graph.
    pub(super) const fn is_graph_write(self) -> bool {
        matches!((self.service(), self.effect()), (Service::Graph, Effect::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for operation in Operation::ALL {
            let same = Operation::ALL.iter().filter(|o| o.name() == operation.name()).count();
            assert_eq!(same, 1, "{}", operation.name());
            assert_eq!(Operation::named(operation.name()).is_some(), operation.is_scriptable());
        }
    }
}
