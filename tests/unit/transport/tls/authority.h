/* An authority for tests: makes certificates, keys and lists of revoked ones, as PEM files in a folder of its own. */
#ifndef PCCL_TESTS_TRANSPORT_AUTHORITY_H
#define PCCL_TESTS_TRANSPORT_AUTHORITY_H

#include "lib/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define AUTHORITY_DAY_S (24L * 3600)
#define AUTHORITY_REVOKED_MAX 4

struct authority {
	char folder[64];
	EVP_PKEY *key;
	X509 *certificate;
	long serial;
	long revoked[AUTHORITY_REVOKED_MAX];
	size_t revoked_count;
};

static inline void authority_path(const struct authority *authority, const char *name, char out[128])
{
	assert_true(snprintf(out, 128, "%s/%s", authority->folder, name) < 128);
}

static inline FILE *authority_open(const struct authority *authority, const char *name)
{
	char path[128];
	FILE *file;

	authority_path(authority, name, path);
	file = fopen(path, "w");
	assert_non_null(file);
	return file;
}

static inline void authority_add(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/* A certificate that ends `days` from now (it began ten days ago), signed by `authority`, or by itself if that has none
 * yet. `usage` is its extended key usage, NULL: it says none; "authority": it is one. */
static inline X509 *authority_sign(struct authority *authority, const char *subject, EVP_PKEY *key, int days,
				   const char *usage)
{
	bool by_itself = authority->certificate == NULL,
	     is_authority = usage != NULL && strcmp(usage, "authority") == 0;
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++authority->serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * AUTHORITY_DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(certificate), days * AUTHORITY_DAY_S);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1, 0);
	X509_set_issuer_name(certificate, by_itself ? name : X509_get_subject_name(authority->certificate));
	authority_add(certificate, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "CA:FALSE");
	if (usage != NULL && !is_authority)
		authority_add(certificate, NID_ext_key_usage, usage);
	assert_true(X509_sign(certificate, by_itself ? key : authority->key, EVP_sha256()) > 0);
	return certificate;
}

static inline void authority_write(const struct authority *authority, const char *name, X509 *certificate)
{
	FILE *file = authority_open(authority, name);

	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
}

/* Writes authority.pem. `above` has made its certificate, NULL: it has itself. */
static inline void authority_create_below(struct authority *authority, struct authority *above)
{
	memset(authority, 0, sizeof(*authority));
	strcpy(authority->folder, "/tmp/pccl-test-tls.XXXXXX");
	assert_non_null(mkdtemp(authority->folder));
	authority->key = EVP_EC_gen("P-256");
	assert_non_null(authority->key);
	authority->certificate =
		authority_sign(above != NULL ? above : authority, above != NULL ? "authority below" : "test authority",
			       authority->key, 10, "authority");
	authority_write(authority, "authority.pem", authority->certificate);
}

static inline void authority_create(struct authority *authority)
{
	authority_create_below(authority, NULL);
}

/* Writes NAME.pem and NAME.key; returns the serial number. */
static inline long authority_issue_for(struct authority *authority, const char *name, int days, const char *usage)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = authority_sign(authority, name, key, days, usage);
	char file_name[64];
	FILE *file;

	snprintf(file_name, sizeof(file_name), "%s.pem", name);
	authority_write(authority, file_name, certificate);
	snprintf(file_name, sizeof(file_name), "%s.key", name);
	file = authority_open(authority, file_name);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return authority->serial;
}

static inline long authority_issue(struct authority *authority, const char *name, int days)
{
	return authority_issue_for(authority, name, days, NULL);
}

static inline void authority_add_revoked(X509_CRL *list, long serial, ASN1_TIME *when)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();

	ASN1_INTEGER_set(number, serial);
	X509_REVOKED_set_serialNumber(entry, number);
	X509_REVOKED_set_revocationDate(entry, when);
	X509_CRL_add0_revoked(list, entry);
	ASN1_INTEGER_free(number);
}

/* Writes revoked.pem with this serial number and all before. */
static inline void authority_revoke(struct authority *authority, long serial)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -3600);
	ASN1_TIME *next = X509_gmtime_adj(NULL, AUTHORITY_DAY_S);
	FILE *file = authority_open(authority, "revoked.pem");
	size_t i;

	assert_true(authority->revoked_count < AUTHORITY_REVOKED_MAX);
	authority->revoked[authority->revoked_count++] = serial;
	X509_CRL_set_version(list, 1);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(authority->certificate));
	X509_CRL_set1_lastUpdate(list, now);
	X509_CRL_set1_nextUpdate(list, next);
	for (i = 0; i < authority->revoked_count; i++)
		authority_add_revoked(list, authority->revoked[i], now);
	assert_true(X509_CRL_sign(list, authority->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509_CRL(file, list), 1);
	fclose(file);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_CRL_free(list);
}

/* In the environment of who is secured by it; not its list of those revoked. */
static inline void authority_show(const struct authority *authority, const char *name)
{
	char path[128], file_name[64];

	authority_path(authority, "authority.pem", path);
	setenv("PCCL_AUTHORITY_FILE", path, 1);
	snprintf(file_name, sizeof(file_name), "%s.pem", name);
	authority_path(authority, file_name, path);
	setenv("PCCL_CERTIFICATE_FILE", path, 1);
	snprintf(file_name, sizeof(file_name), "%s.key", name);
	authority_path(authority, file_name, path);
	setenv("PCCL_KEY_FILE", path, 1);
}

static inline void authority_hide(void)
{
	unsetenv("PCCL_AUTHORITY_FILE");
	unsetenv("PCCL_CERTIFICATE_FILE");
	unsetenv("PCCL_KEY_FILE");
}

static inline void authority_destroy(struct authority *authority, const char *const *names, size_t count)
{
	char path[128];
	size_t i;

	for (i = 0; i < count; i++) {
		authority_path(authority, names[i], path);
		unlink(path);
	}
	assert_int_equal(rmdir(authority->folder), 0);
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

#endif
