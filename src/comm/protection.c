#include "comm/protection.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/sized.h"
#include "comm/settings.h"

static const struct pccl_sized security_kind = {"security", "PCCL_SECURITY_INITIALIZER", sizeof(size_t),
						offsetof(pcclSecurity_t, reserved)};

/* NULL: neither has it. */
static void choose(const char **text, const char *variable)
{
	if (*text == NULL || **text == '\0')
		*text = getenv(variable);
	if (*text != NULL && **text == '\0')
		*text = NULL;
}

static pcclResult_t choose_mode(pcclSecurity_t *security)
{
	int mode;
	pcclResult_t result = pccl_settings_choice("PCCL_SECURITY", (int)security->mode, pcclEnumSecurity,
						   pcclSecurityDefault, &mode);

	if (result != pcclSuccess)
		return result;
	if (mode == pcclSecurityDefault && (security->secret != NULL || security->secret_file != NULL))
		mode = pcclSecurityPsk;
	else if (mode == pcclSecurityDefault && security->certificate_file != NULL)
		mode = pcclSecurityTls;
	security->mode = (pcclSecurityMode_t)mode;
	if (mode == pcclSecurityTls &&
	    (security->authority_file == NULL || security->certificate_file == NULL || security->key_file == NULL))
		return pccl_fail(pcclInvalidArgument, "security tls needs three files: PCCL_AUTHORITY_FILE, "
						      "PCCL_CERTIFICATE_FILE and PCCL_KEY_FILE");
	return pcclSuccess;
}

pcclResult_t pccl_protection_open(const pcclSecurity_t *given, struct pccl_wires **wires_out)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclResult_t result = given != NULL ? pccl_sized_read(&security_kind, given, &security) : pcclSuccess;

	*wires_out = NULL;
	if (result != pcclSuccess)
		return result;
	if (security.reserved_mode != 0)
		return pccl_fail(pcclInvalidArgument, "reserved_mode of the security settings is not 0");
	choose(&security.secret, "PCCL_SECRET");
	choose(&security.secret_file, "PCCL_SECRET_FILE");
	choose(&security.authority_file, "PCCL_AUTHORITY_FILE");
	choose(&security.certificate_file, "PCCL_CERTIFICATE_FILE");
	choose(&security.key_file, "PCCL_KEY_FILE");
	choose(&security.revoked_file, "PCCL_REVOKED_FILE");
	result = choose_mode(&security);
	return result == pcclSuccess ? pccl_wires_create(&security, wires_out) : result;
}
